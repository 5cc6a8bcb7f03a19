// Package machine checks what the machine lacks, and installs what can be
// installed.
package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"ferry.dev/e2e/cluster/internal/step"
)

// need is one thing that the machine must have and that can't be installed.
type need struct {
	what   string
	remedy string
	check  func(context.Context) error
}

var needs = []need{
	{"root", "run it as root", checkRoot},
	{"Debian's apt-get, for packages that are missing", "use Debian 12, or install them by other means", checkApt},
	{"Go", "install Go 1.24 or newer and put it into PATH", checkGo},
	{"loop devices", "load the kernel module loop, and give a container /dev/loop-control and a devtmpfs as /dev", checkLoop},
	{"FUSE", "load the kernel module fuse, and give a container /dev/fuse", checkFUSE},
	{"the file systems overlay, xfs and ext4", "use a kernel with them (modprobe overlay xfs ext4)", checkFileSystems},
	{"namespaces of mounts and networks", "run it outside of a container, or in a privileged one", checkNamespaces},
	{"cgroups", "mount them below /sys/fs/cgroup", checkCgroups},
}

// Check changes nothing and returns everything that is missing at once.
func Check(ctx context.Context) error {
	var missing []error
	for _, n := range needs {
		if err := n.check(ctx); err != nil {
			missing = append(missing, fmt.Errorf("this machine lacks %s: %w\n    what to do: %s", n.what, err, n.remedy))
		}
	}
	return errors.Join(missing...)
}

func checkRoot(context.Context) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("running as user %d", os.Geteuid())
	}
	return nil
}

func checkApt(context.Context) error {
	names := missingPackages()
	if len(names) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("no apt-get to install %s", strings.Join(names, ", "))
	}
	return nil
}

func checkGo(context.Context) error {
	_, err := exec.LookPath("go")
	return err
}

func checkLoop(context.Context) error {
	file, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return file.Close()
}

func checkFUSE(ctx context.Context) error {
	if !kernelHas(ctx, "fuse") {
		return errors.New("the kernel doesn't have fuse")
	}
	file, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return file.Close()
}

func checkFileSystems(ctx context.Context) error {
	var missing []string
	for _, name := range []string{"overlay", "xfs", "ext4"} {
		if !kernelHas(ctx, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the kernel doesn't have %s", strings.Join(missing, ", "))
	}
	return nil
}

// kernelHas loads the module where the file system isn't built in.
func kernelHas(ctx context.Context, name string) bool {
	if listed(name) {
		return true
	}
	_ = step.Run(ctx, "modprobe", name)
	return listed(name)
}

func listed(name string) bool {
	text, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return false
	}
	for _, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) > 0 && fields[len(fields)-1] == name {
			return true
		}
	}
	return false
}

// checkNamespaces tries it out in a namespace that ends with the command.
func checkNamespaces(ctx context.Context) error {
	return step.Run(ctx, "unshare", "--mount", "--net", "--propagation", "private",
		"sh", "-c", "mount --make-rshared / && ip link add ferry-try type bridge && ip link add ferry-a type veth peer name ferry-b")
}

func checkCgroups(context.Context) error {
	for _, path := range []string{"/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/memory/tasks"} {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	return errors.New("/sys/fs/cgroup holds neither a unified hierarchy nor the memory controller")
}
