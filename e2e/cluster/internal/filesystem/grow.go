package filesystem

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// ErrNotWhileMounted is returned where the kernel lets this process grow a file
// system only while it isn't mounted: ext4 wants CAP_SYS_RESOURCE, which even
// root lacks on some machines.
var ErrNotWhileMounted = errors.New("growing it while it is mounted needs CAP_SYS_RESOURCE")

// Grow makes a mounted file system fill its device.
func Grow(device, mountpoint string) error {
	kind, err := kindAt(mountpoint)
	if err != nil {
		return err
	}
	switch kind {
	case Ext4:
		err := run("resize2fs", device)
		if err != nil && strings.Contains(err.Error(), "Permission denied to resize filesystem") {
			return ErrNotWhileMounted
		}
		return err
	case XFS:
		return run("xfs_growfs", mountpoint)
	}
	return fmt.Errorf("grow file system at %s: %q is not supported; use ext4 or xfs", mountpoint, kind)
}

// GrowUnmounted makes an ext4 that isn't mounted fill its device. XFS grows
// only while it is mounted, so nothing is done for it here.
func GrowUnmounted(device, kind string) error {
	if kind != Ext4 {
		return nil
	}
	// resize2fs insists on a check; its exit code 1 says that it mended
	// something, such as a journal that had to be replayed.
	err := run("e2fsck", "-f", "-p", device)
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		return err
	}
	return run("resize2fs", device)
}
