package filesystem

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// The file systems that can be made here.
const (
	Ext4 = "ext4"
	XFS  = "xfs"
)

// Supported tells whether volumes can be formatted with this file system.
func Supported(kind string) bool { return kind == Ext4 || kind == XFS }

// Signature returns the type of what lies on a device: a file system, a
// partition table or anything else with a known mark; empty where there is none.
func Signature(device string) (string, error) {
	const nothingFound, ambivalent = 2, 8
	out, err := exec.Command("blkid", "-p", "-o", "export", device).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		switch exit.ExitCode() {
		case nothingFound:
			return "", nil
		case ambivalent:
			return "several", nil
		}
	}
	if err != nil {
		return "", fmt.Errorf("look for a file system on %s: %w: %s", device, err, out)
	}
	for _, line := range strings.Split(string(out), "\n") {
		if kind, ok := strings.CutPrefix(line, "TYPE="); ok {
			return kind, nil
		}
		if kind, ok := strings.CutPrefix(line, "PTTYPE="); ok {
			return kind, nil
		}
	}
	return "unknown", nil
}

// Make puts a new, empty file system on a device.
func Make(device, kind string) error {
	arguments := map[string][]string{
		// The discard makes the device all zeros, whatever an attempt before
		// has left on it, so its tables and journal need no zeros written:
		// neither now, nor by a background writer in the kernel that would
		// show up in every list of changed blocks.
		Ext4: {"mkfs.ext4", "-q", "-F", "-m", "0", "-E", "discard,assume_storage_prezeroed=1", device},
		XFS:  {"mkfs.xfs", "-q", "-f", "-K", device},
	}[kind]
	if arguments == nil {
		return fmt.Errorf("make file system on %s: %q is not supported; use ext4 or xfs", device, kind)
	}
	return run(arguments...)
}

func run(command ...string) error {
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
