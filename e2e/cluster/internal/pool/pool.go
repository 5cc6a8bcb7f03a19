// Package pool keeps volumes and snapshots as sparse files on one file system
// that can share blocks between files (XFS with reflink).
//
// Each volume and each snapshot is a directory with the image and a record.
// A directory appears and disappears by one rename, so a crash leaves either
// all of it or an unnamed leftover that the next start removes.
package pool

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	imageName  = "image"
	recordName = "record.json"
	tempPrefix = ".new-"
)

// ErrNotFound is returned for a volume or snapshot that isn't in the pool.
var ErrNotFound = errors.New("not in the pool")

// Pool is a folder of volumes and snapshots.
type Pool struct{ root string }

// Open makes the pool's folders and clears what a crash left half-made.
func Open(root string) (*Pool, error) {
	p := &Pool{root: root}
	for _, kind := range []string{p.volumes(), p.snapshots()} {
		if err := os.MkdirAll(kind, 0o755); err != nil {
			return nil, fmt.Errorf("open pool: %w", err)
		}
		leftovers, err := filepath.Glob(filepath.Join(kind, tempPrefix+"*"))
		if err != nil {
			return nil, fmt.Errorf("open pool: %w", err)
		}
		for _, leftover := range leftovers {
			if err := os.RemoveAll(leftover); err != nil {
				return nil, fmt.Errorf("clear leftover of a crash: %w", err)
			}
		}
	}
	return p, nil
}

// Free is the number of bytes that new volumes can fill.
func (p *Pool) Free() (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(p.root, &stat); err != nil {
		return 0, fmt.Errorf("measure free space of %s: %w", p.root, err)
	}
	return int64(stat.Bavail) * stat.Bsize, nil
}

// HandleFor derives a handle from the name a caller chose, so that the same
// request always means the same volume.
func HandleFor(prefix, name string) string {
	sum := sha256.Sum256([]byte(name))
	return prefix + "-" + hex.EncodeToString(sum[:12])
}

func (p *Pool) volumes() string   { return filepath.Join(p.root, "volumes") }
func (p *Pool) snapshots() string { return filepath.Join(p.root, "snapshots") }

// place is the directory of a handle. A handle comes from outside, so one that
// would name anything but a direct child is not in the pool.
func place(kind, handle string) (string, error) {
	if handle == "" || strings.HasPrefix(handle, ".") || strings.ContainsRune(handle, '/') {
		return "", ErrNotFound
	}
	return filepath.Join(kind, handle), nil
}

// addDirectory makes a directory of one image and one record appear at once.
func addDirectory(kind, handle string, record any, fill func(image string) error) error {
	final, err := place(kind, handle)
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp(kind, tempPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := fill(filepath.Join(temp, imageName)); err != nil {
		return err
	}
	if err := writeRecord(temp, record); err != nil {
		return err
	}
	return os.Rename(temp, final)
}

// removeDirectory makes a directory disappear at once. One that isn't there is
// no error: it is gone, as asked.
func removeDirectory(kind, handle string) error {
	final, err := place(kind, handle)
	if err != nil {
		return nil
	}
	temp, err := os.MkdirTemp(kind, tempPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	err = os.Rename(final, filepath.Join(temp, handle))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func writeRecord(directory string, record any) error {
	text, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	temp := filepath.Join(directory, recordName+".new")
	if err := os.WriteFile(temp, text, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(directory, recordName))
}

func readRecord(kind, handle string, record any) error {
	directory, err := place(kind, handle)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(directory, recordName))
	if errors.Is(err, os.ErrNotExist) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, record)
}

// handles lists the handles of a kind in a lasting order.
func handles(kind string) ([]string, error) {
	entries, err := os.ReadDir(kind)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), tempPrefix) {
			found = append(found, entry.Name())
		}
	}
	sort.Strings(found)
	return found, nil
}
