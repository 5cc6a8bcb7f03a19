package loop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// FileID says which file is meant, whatever it is called and wherever it is
// mounted.
type FileID struct {
	Device uint64
	Inode  uint64
}

// IdentifyFile returns the identity of an open file.
func IdentifyFile(file *os.File) (FileID, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return FileID{}, fmt.Errorf("identify %s: %w", file.Name(), err)
	}
	return FileID{Device: stat.Dev, Inode: stat.Ino}, nil
}

// Identify returns the identity of the file at a path.
func Identify(path string) (FileID, error) {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return FileID{}, fmt.Errorf("identify %s: %w", path, err)
	}
	return FileID{Device: stat.Dev, Inode: stat.Ino}, nil
}

// Attached is a device as the kernel lists it, with what is behind it.
type Attached struct {
	Device
	// BackingDevice is the device number of what is behind the loop device
	// where that is a block device itself, and zero where it is a file.
	BackingDevice uint64
}

// List returns every attached loop device of the machine.
func List() ([]Attached, error) {
	entries, err := filepath.Glob("/sys/block/loop*/loop")
	if err != nil {
		return nil, fmt.Errorf("list loop devices: %w", err)
	}
	var found []Attached
	for _, entry := range entries {
		name := filepath.Base(filepath.Dir(entry))
		number, err := strconv.Atoi(strings.TrimPrefix(name, "loop"))
		if err != nil {
			continue
		}
		device, err := inspect(number)
		if errors.Is(err, unix.ENXIO) || errors.Is(err, os.ErrNotExist) {
			continue // detached since it was listed
		}
		if err != nil {
			return nil, fmt.Errorf("inspect %s: %w", NodePath(number), err)
		}
		found = append(found, device)
	}
	return found, nil
}

// FindAll returns the devices attached to a file.
func FindAll(path string) ([]Device, error) {
	id, err := Identify(path)
	if err != nil {
		return nil, err
	}
	attached, err := List()
	if err != nil {
		return nil, err
	}
	var found []Device
	for _, device := range attached {
		if device.Backing == id {
			found = append(found, device.Device)
		}
	}
	return found, nil
}

// FindWritable returns the writable device attached to a file, if there is one.
func FindWritable(path string) (Device, bool, error) {
	devices, err := FindAll(path)
	if err != nil {
		return Device{}, false, err
	}
	for _, device := range devices {
		if !device.ReadOnly {
			return device, true, nil
		}
	}
	return Device{}, false, nil
}

// NumberOf returns the number of the loop device that a device node stands for.
func NumberOf(path string) (int, bool) {
	var stat unix.Stat_t
	if unix.Stat(path, &stat) != nil || stat.Mode&unix.S_IFMT != unix.S_IFBLK || unix.Major(stat.Rdev) != loopMajor {
		return 0, false
	}
	return int(unix.Minor(stat.Rdev)), true
}

func inspect(number int) (Attached, error) {
	node, err := openNode(number, os.O_RDONLY)
	if err != nil {
		return Attached{}, err
	}
	defer node.Close()
	info, err := unix.IoctlLoopGetStatus64(int(node.Fd()))
	if err != nil {
		return Attached{}, err
	}
	backing := FileID{Device: info.Device, Inode: info.Inode}
	image, front := parseMark(info.File_name[:])
	if front != 0 {
		backing = image
	}
	return Attached{
		Device: Device{
			Number:   number,
			Backing:  backing,
			ReadOnly: info.Flags&unix.LO_FLAGS_READ_ONLY != 0,
			Front:    front,
			Leaving:  info.Flags&unix.LO_FLAGS_AUTOCLEAR != 0,
		},
		BackingDevice: info.Rdevice,
	}, nil
}
