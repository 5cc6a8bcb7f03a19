// Package loop attaches files to loop devices and finds them again.
//
// A device is always found by the identity of the file behind it (device and
// inode number), never by a remembered number or a path: numbers are reused,
// and paths differ between mount namespaces.
package loop

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// ioctl numbers that golang.org/x/sys/unix does not name.
	setCapacity = 0x4c07
	setDirectIO = 0x4c08

	attachAttempts = 64

	// loopMajor is the kernel's number for loop devices.
	loopMajor = 7
)

// Device is one attached loop device.
type Device struct {
	Number int
	// Backing is the file that the device is of.
	Backing  FileID
	ReadOnly bool
	// Front is the serial number of the front that stands between the device
	// and Backing, and zero where there is none.
	Front uint64
	// Leaving is set for a device that goes away when its last user does.
	Leaving bool
}

// Path is the device's node.
func (d Device) Path() string { return NodePath(d.Number) }

// NodePath is the node of the loop device with the given number.
func NodePath(number int) string { return fmt.Sprintf("/dev/loop%d", number) }

// Attach connects a file to a free loop device. Direct I/O is asked for so
// that data isn't cached twice; where the file system below can't do it the
// device works without, which is slower and as correct.
func Attach(path string, readOnly bool) (Device, error) {
	mode := os.O_RDWR
	if readOnly {
		mode = os.O_RDONLY
	}
	file, err := os.OpenFile(path, mode, 0)
	if err != nil {
		return Device{}, fmt.Errorf("attach loop device: %w", err)
	}
	defer file.Close()
	return attach(file, attachment{name: path, readOnly: readOnly})
}

// attachment is how a file is attached.
type attachment struct {
	// name is what the kernel tells whoever asks about the device.
	name                 string
	readOnly, directOnly bool
}

func attach(file *os.File, how attachment) (Device, error) {
	id, err := IdentifyFile(file)
	if err != nil {
		return Device{}, err
	}
	for range attachAttempts {
		number, err := freeNumber()
		if err != nil {
			return Device{}, err
		}
		err = configure(number, file, how)
		if errors.Is(err, unix.EBUSY) {
			// Somebody else took this number between the two calls.
			time.Sleep(5 * time.Millisecond)
			continue
		}
		if err != nil {
			return Device{}, fmt.Errorf("attach %s to %s: %w", how.name, NodePath(number), err)
		}
		return Device{Number: number, Backing: id, ReadOnly: how.readOnly}, nil
	}
	return Device{}, fmt.Errorf("attach %s: no loop device stayed free in %d attempts", how.name, attachAttempts)
}

// configure makes one attempt to take the device with the given number.
func configure(number int, file *os.File, how attachment) error {
	node, err := openNode(number, os.O_RDWR)
	if err != nil {
		return err
	}
	defer node.Close()
	config := unix.LoopConfig{Fd: uint32(file.Fd())}
	copy(config.Info.File_name[:unix.LO_NAME_SIZE-1], how.name)
	if how.readOnly {
		config.Info.Flags |= unix.LO_FLAGS_READ_ONLY
	}
	if err := unix.IoctlLoopConfigure(int(node.Fd()), &config); err != nil {
		return err
	}
	err = unix.IoctlSetInt(int(node.Fd()), setDirectIO, 1)
	if err != nil && how.directOnly {
		return errors.Join(fmt.Errorf("direct I/O is needed: %w", err), Detach(number))
	}
	return nil
}

// Detach disconnects a device. A device that is still open or mounted goes
// away when its last user does.
func Detach(number int) error {
	node, err := openNode(number, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("detach loop device: %w", err)
	}
	defer node.Close()
	err = unix.IoctlSetInt(int(node.Fd()), unix.LOOP_CLR_FD, 0)
	if err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("detach %s: %w", NodePath(number), err)
	}
	return nil
}

// Refresh makes a device take the present size of its file.
func Refresh(number int) error {
	node, err := openNode(number, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("resize loop device: %w", err)
	}
	defer node.Close()
	if err := unix.IoctlSetInt(int(node.Fd()), setCapacity, 0); err != nil {
		return fmt.Errorf("resize %s: %w", NodePath(number), err)
	}
	return nil
}

// Flush writes what the kernel caches of a device into the file behind it.
func Flush(number int) error {
	node, err := openNode(number, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("flush loop device: %w", err)
	}
	defer node.Close()
	if err := node.Sync(); err != nil {
		return fmt.Errorf("flush %s: %w", NodePath(number), err)
	}
	return nil
}

func freeNumber() (int, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return 0, fmt.Errorf("ask for a free loop device: %w", err)
	}
	defer control.Close()
	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return 0, fmt.Errorf("ask for a free loop device: %w", err)
	}
	return number, nil
}

// openNode opens a device's node and makes the node where /dev is a plain
// directory, as in a container, and nothing does it for us.
func openNode(number, mode int) (*os.File, error) {
	path := NodePath(number)
	node, err := os.OpenFile(path, mode, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return node, err
	}
	if err := unix.Mknod(path, unix.S_IFBLK|0o660, int(deviceID(number))); err != nil {
		return nil, fmt.Errorf("make node %s: %w", path, err)
	}
	return os.OpenFile(path, mode, 0)
}
