package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sort"
	"strings"

	"ferry.dev/e2e/cluster/internal/step"
)

// program is something that the lab calls, and the Debian package with it.
type program struct {
	name    string // looked up in PATH, or a path
	debian  string
	purpose string
}

var programs = []program{
	{"etcd", "etcd-server", "the clusters' database"},
	{"containerd", "containerd", "containers"},
	{"ctr", "containerd", "loading images"},
	{"runc", "runc", "containers"},
	{CNIFolder + "/ptp", "containernetworking-plugins", "the pods' network"},
	{"busybox", "busybox-static", "images"},
	{"mkfs.xfs", "xfsprogs", "the drivers' pool"},
	{"xfs_growfs", "xfsprogs", "growing volumes"},
	{"mkfs.ext4", "e2fsprogs", "volumes"},
	{"resize2fs", "e2fsprogs", "growing volumes"},
	{"blkid", "util-linux", "volumes"},
	{"iptables", "iptables", "services"},
	{"ip", "iproute2", "the clusters' network"},
	{"nsenter", "util-linux", "entering a cluster"},
	{"losetup", "mount", "block volumes"},
}

// CNIFolder is where Debian puts the network plugins.
const CNIFolder = "/usr/lib/cni"

// missingPackages are the Debian packages of the programs that aren't there.
func missingPackages() []string {
	wanted := map[string]bool{}
	for _, p := range programs {
		if !present(p.name) {
			wanted[p.debian] = true
		}
	}
	var names []string
	for name := range wanted {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func present(name string) bool {
	if strings.HasPrefix(name, "/") {
		_, err := os.Stat(name)
		return err == nil
	}
	_, err := exec.LookPath(name)
	return err == nil
}

// InstallPackages installs what is missing, without starting services: the
// lab runs its own.
func InstallPackages(ctx context.Context, report *step.Reporter) error {
	names := missingPackages()
	if len(names) == 0 {
		return nil
	}
	return report.Do("install Debian packages "+strings.Join(names, " "), func() error {
		unblock, err := keepServicesStopped()
		if err != nil {
			return err
		}
		defer unblock()
		if err := aptGet(ctx, "update", "-qq"); err != nil {
			return err
		}
		return aptGet(ctx, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, names...)...)
	})
}

func aptGet(ctx context.Context, arguments ...string) error {
	command := append([]string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get"}, arguments...)
	return step.Run(ctx, command...)
}

// keepServicesStopped puts Debian's switch against starting services in place,
// unless the machine has one of its own.
func keepServicesStopped() (undo func(), err error) {
	const policy = "/usr/sbin/policy-rc.d"
	file, err := os.OpenFile(policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if os.IsExist(err) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keep services stopped while packages are installed: %w", err)
	}
	defer file.Close()
	if _, err := file.WriteString("#!/bin/sh\nexit 101\n"); err != nil {
		return nil, err
	}
	return func() { os.Remove(policy) }, nil
}
