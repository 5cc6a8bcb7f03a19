package filesystem

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// entry is one line of the mount table.
type entry struct {
	device     string // major:minor
	mountpoint string
	kind       string
}

// Mounted tells whether something is mounted at exactly this path.
func Mounted(target string) (bool, error) {
	_, found, err := last(func(e entry) bool { return e.mountpoint == target })
	return found, err
}

// MountOf returns a place where the file system on a device is mounted.
func MountOf(device string) (string, bool, error) {
	number, err := deviceNumber(device)
	if err != nil {
		return "", false, err
	}
	found, ok, err := last(func(e entry) bool { return e.device == number })
	return found.mountpoint, ok, err
}

// CountMounts tells in how many places the file system on a device is mounted,
// as far as this process sees.
func CountMounts(device string) (int, error) {
	number, err := deviceNumber(device)
	if err != nil {
		return 0, err
	}
	count := 0
	_, _, err = last(func(e entry) bool {
		if e.device == number {
			count++
		}
		return false
	})
	return count, err
}

// deviceNumber is a device's number as the mount table writes it.
func deviceNumber(device string) (string, error) {
	var stat unix.Stat_t
	if err := unix.Stat(device, &stat); err != nil {
		return "", fmt.Errorf("look for mounts of %s: %w", device, err)
	}
	return fmt.Sprintf("%d:%d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev)), nil
}

// kindAt is the type of the file system mounted at exactly this path.
func kindAt(target string) (string, error) {
	found, _, err := last(func(e entry) bool { return e.mountpoint == target })
	return found.kind, err
}

// last returns the last entry that matches: of several mounts at one path it
// is the one on top.
func last(matches func(entry) bool) (entry, bool, error) {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return entry{}, false, fmt.Errorf("read the mount table: %w", err)
	}
	defer table.Close()
	var found entry
	ok := false
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		if e, valid := parse(lines.Text()); valid && matches(e) {
			found, ok = e, true
		}
	}
	return found, ok, lines.Err()
}

// parse reads a line: "ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAGS] - TYPE SOURCE OPTIONS".
func parse(line string) (entry, bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields := strings.Fields(before)
	if !ok || len(fields) < 5 {
		return entry{}, false
	}
	kind, _, _ := strings.Cut(after, " ")
	return entry{device: fields[2], mountpoint: unescape(fields[4]), kind: kind}, true
}

// unescape undoes the octal escapes of the mount table.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}
