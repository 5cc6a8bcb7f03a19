package driver

import (
	"ferry.dev/e2e/cluster/internal/filesystem"
	"ferry.dev/e2e/cluster/internal/loop"
)

// atRest runs work on a volume's image while the image is a state that a power
// cut could leave: a mounted file system is frozen, and a raw device has what
// the kernel caches of it written back first. Writes that a raw device's user
// makes meanwhile land wholly before or wholly after the copy, because the
// copy holds the image's lock.
func (d *Driver) atRest(handle string, work func() error) error {
	device, attached, err := loop.FindWritable(d.pool.VolumeImage(handle))
	if err != nil {
		return err
	}
	if !attached {
		return work()
	}
	mountpoint, mounted, err := filesystem.MountOf(device.Path())
	if err != nil {
		return err
	}
	if mounted {
		return filesystem.WhileFrozen(mountpoint, work)
	}
	if err := loop.Flush(device.Number); err != nil {
		return err
	}
	return work()
}
