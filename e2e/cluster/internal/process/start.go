// Package process starts the programs of a cluster inside its namespaces and
// ends every process that belongs to the cluster, whoever started it.
package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/step"
)

// privateFolders are paths of the machine that programs of a cluster write to
// whatever they are told. Each cluster has empty ones of its own.
var privateFolders = []string{
	"/run/containerd", "/run/netns", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods",
}

// holder is the process that keeps a cluster's mount namespace.
const holder = "holder"

// Hold makes the cluster's mount namespace. Mounts in it spread to the pods
// and not to the machine; all of them end with the namespace.
func Hold(c layout.Cluster) error {
	script := "set -e; mount --make-rshared /; "
	for _, folder := range privateFolders {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		script += "mount -t tmpfs tmpfs " + folder + "; "
	}
	script += "mount -t tmpfs tmpfs " + c.Data("etcd") + "; "
	script += "mount -o loop,discard,noatime " + c.PoolImage() + " " + c.Pool() + "; mount --make-rshared " + c.Pool() + "; "
	// What the pool's file system caches need not be cached below it once more. Where that can't be
	// had it is slower and as correct.
	script += "losetup --direct-io=on \"$(findmnt -nro SOURCE " + c.Pool() + ")\" || true; "
	script += "touch " + c.Run("held") + "; exec sleep infinity"
	command := []string{"nsenter", "--net=" + c.NetNSPath(), "unshare", "--mount", "--propagation", "private", "sh", "-c", script}
	if err := spawn(c, holder, command); err != nil {
		return err
	}
	return step.Until(context.Background(), "the mount namespace of "+c.Name, 10*time.Second, c.Log(holder), func() error {
		_, err := os.Stat(c.Run("held"))
		return err
	})
}

// Start starts a program inside the cluster's namespaces. It goes on running
// when the lab ends.
func Start(c layout.Cluster, name string, command ...string) error {
	enter, err := Enter(c)
	if err != nil {
		return err
	}
	return spawn(c, name, append(enter, command...))
}

// Enter is what to put before a command to run it inside the cluster's
// namespaces.
func Enter(c layout.Cluster) ([]string, error) {
	text, err := os.ReadFile(pidFile(c, holder))
	if err != nil {
		return nil, fmt.Errorf("cluster %s is not up: %w", c.Name, err)
	}
	return []string{"nsenter", "--target", strings.TrimSpace(string(text)), "--mount", "--net", "--"}, nil
}

// Running tells whether a program that was started still runs.
func Running(c layout.Cluster, name string) bool {
	text, err := os.ReadFile(pidFile(c, name))
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return err == nil && belongs(pid, identify(c))
}

func spawn(c layout.Cluster, name string, command []string) error {
	if err := os.MkdirAll(filepath.Dir(c.Log(name)), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(c.Log(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	go func() { _ = cmd.Wait() }() // collects it, should it end before the lab
	if err := os.MkdirAll(filepath.Dir(pidFile(c, name)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(pidFile(c, name), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644)
}

func pidFile(c layout.Cluster, name string) string { return c.Run("pid", name) }

// Started are the programs of a cluster that were started.
func Started(c layout.Cluster) []string {
	entries, err := os.ReadDir(c.Run("pid"))
	if err != nil {
		return nil
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
