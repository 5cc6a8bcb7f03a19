// Package filesystem mounts, formats, grows and freezes file systems.
package filesystem

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Mount mounts a device. Options that the kernel knows by flag are turned into
// it; all others go to the file system as they are.
func Mount(device, target, kind string, options []string) error {
	flags, data := splitOptions(options)
	if kind == XFS {
		// A clone or snapshot has its source's UUID, which XFS refuses to
		// mount twice unless told that this is meant.
		data = append(data, "nouuid")
	}
	if err := unix.Mount(device, target, kind, flags, strings.Join(data, ",")); err != nil {
		return fmt.Errorf("mount %s (%s) at %s with options %v: %w", device, kind, target, options, err)
	}
	return nil
}

// Bind makes source appear at target. The second step is the kernel's rule:
// a bind mount takes its flags only when it is mounted again.
func Bind(source, target string, readOnly bool) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", source, target, err)
	}
	if !readOnly {
		return nil
	}
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		_ = unix.Unmount(target, 0)
		return fmt.Errorf("make bind mount %s read-only: %w", target, err)
	}
	return nil
}

// Unmount takes away every mount at target; none is no error.
func Unmount(target string) error {
	for {
		mounted, err := Mounted(target)
		if err != nil || !mounted {
			return err
		}
		if err := unix.Unmount(target, 0); err != nil {
			return fmt.Errorf("unmount %s: %w", target, err)
		}
	}
}

func splitOptions(options []string) (flags uintptr, data []string) {
	known := map[string]uintptr{
		"ro": unix.MS_RDONLY, "noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME,
		"relatime": unix.MS_RELATIME, "strictatime": unix.MS_STRICTATIME, "nosuid": unix.MS_NOSUID,
		"nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC, "sync": unix.MS_SYNCHRONOUS,
		"dirsync": unix.MS_DIRSYNC, "lazytime": unix.MS_LAZYTIME,
	}
	for _, option := range options {
		switch flag, ok := known[option]; {
		case ok:
			flags |= flag
		case option != "" && option != "rw" && option != "defaults":
			data = append(data, option)
		}
	}
	return flags, data
}
