package filesystem

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	freezeIoctl = 0xc0045877
	thawIoctl   = 0xc0045878
)

// WhileFrozen runs work while the file system mounted at path holds all its
// writes back, with everything written before on the device. A file system
// that somebody else has frozen already is left frozen.
func WhileFrozen(path string, work func() error) error {
	root, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("freeze %s: %w", path, err)
	}
	defer root.Close()
	err = unix.IoctlSetInt(int(root.Fd()), freezeIoctl, 0)
	if errors.Is(err, unix.EBUSY) {
		return work()
	}
	if err != nil {
		return fmt.Errorf("freeze %s: %w", path, err)
	}
	workErr := work()
	if err := unix.IoctlSetInt(int(root.Fd()), thawIoctl, 0); err != nil {
		return errors.Join(workErr, fmt.Errorf("thaw %s: %w", path, err))
	}
	return workErr
}

// Thaw lets writes of a file system go on if they are held back, which a
// process that died while it had the file system frozen leaves behind.
func Thaw(path string) error {
	root, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("thaw %s: %w", path, err)
	}
	defer root.Close()
	err = unix.IoctlSetInt(int(root.Fd()), thawIoctl, 0)
	if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: it isn't frozen
		return fmt.Errorf("thaw %s: %w", path, err)
	}
	return nil
}
