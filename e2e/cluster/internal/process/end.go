package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ferry.dev/e2e/cluster/internal/layout"
)

// identity is how a process is known to be a cluster's: it is in the cluster's
// network namespace, or in one of its cgroups (which is where pods are). Process
// numbers that were written down are not trusted: they are reused.
type identity struct {
	network string // "net:[4026532177]", empty where the namespace is gone
	cgroup  string
}

func identify(c layout.Cluster) identity {
	id := identity{cgroup: c.Cgroup()}
	var stat syscall.Stat_t
	if syscall.Stat(c.NetNSPath(), &stat) == nil {
		id.network = fmt.Sprintf("net:[%d]", stat.Ino)
	}
	return id
}

func belongs(pid int, id identity) bool {
	folder := "/proc/" + strconv.Itoa(pid)
	if network, err := os.Readlink(folder + "/ns/net"); err == nil && id.network != "" && network == id.network {
		return true
	}
	text, err := os.ReadFile(folder + "/cgroup")
	if err != nil {
		return false
	}
	for _, line := range strings.Split(string(text), "\n") {
		// "4:memory:/ferry-lab-east/kubepods/…"
		if parts := strings.SplitN(line, ":", 3); len(parts) == 3 {
			if parts[2] == "/"+id.cgroup || strings.HasPrefix(parts[2], "/"+id.cgroup+"/") {
				return true
			}
		}
	}
	return false
}

// Find returns the processes of a cluster.
func Find(c layout.Cluster) []int {
	id := identify(c)
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if err == nil && pid != os.Getpid() && belongs(pid, id) {
			found = append(found, pid)
		}
	}
	return found
}

// KillAll ends every process of a cluster and waits until they are gone. The
// first round may leave children that were just being started, hence rounds.
func KillAll(c layout.Cluster) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		found := Find(c)
		if len(found) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes of cluster %s don't end: %s", c.Name, Describe(found))
		}
		for _, pid := range found {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Describe names processes for a message.
func Describe(pids []int) string {
	var names []string
	for _, pid := range pids {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		names = append(names, fmt.Sprintf("%d %s", pid, strings.TrimSpace(string(name))))
	}
	return strings.Join(names, ", ")
}
