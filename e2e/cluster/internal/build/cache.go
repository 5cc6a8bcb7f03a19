// Package build makes the lab's programs once and keeps them in a cache. What
// is in the cache is found by a hash of all that it was made from.
package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/step"
)

// Cache builds programs from the lab's own sources.
type Cache struct {
	root   string
	source string
	goName string
	report *step.Reporter
}

// Open returns the cache. source is the folder with the lab's go.mod.
func Open(ctx context.Context, source string, report *step.Reporter) (*Cache, error) {
	root, err := layout.CacheRoot()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache: %w", err)
	}
	version, err := step.Output(ctx, "go", "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return nil, err
	}
	return &Cache{root: root, source: source, goName: strings.Join(strings.Fields(version), "-"), report: report}, nil
}

// Bin is the folder with links to the programs that people call.
func (c *Cache) Bin() string { return filepath.Join(c.root, "bin") }

// lock keeps other runs of the lab from building at the same time.
func (c *Cache) lock() (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(c.root, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the cache: %w", err)
	}
	if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		c.report.Say("another run is building; waiting for it")
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
			file.Close()
			return nil, fmt.Errorf("lock the cache: %w", err)
		}
	}
	c.dropHalfMade()
	return func() { file.Close() }, nil
}

// dropHalfMade removes what builds that were killed have left. Only the holder
// of the lock builds, so nobody is at work on any of it.
func (c *Cache) dropHalfMade() {
	leftovers, err := filepath.Glob(filepath.Join(c.root, ".new-*"))
	if err != nil {
		return
	}
	for _, leftover := range leftovers {
		os.RemoveAll(leftover)
	}
}

// entry returns the folder name-key of the cache, and makes it where it isn't
// there. It appears by one rename, so it is never seen half-made.
func (c *Cache) entry(name, key string, make func(folder string) error) (string, error) {
	final := filepath.Join(c.root, name+"-"+key)
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	temp, err := os.MkdirTemp(c.root, ".new-"+name+"-")
	if err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	defer os.RemoveAll(temp)
	if err := c.report.Do("build "+name+" (once)", func() error { return make(temp) }); err != nil {
		return "", err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(temp, final); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	c.dropOthers(name, key)
	return final, nil
}

// dropOthers removes the entries of this name but the newest few: old ones
// are kept for a while because other work trees of the project may use them.
func (c *Cache) dropOthers(name, key string) {
	const keep = 4
	entries, err := filepath.Glob(filepath.Join(c.root, name+"-*"))
	if err != nil || len(entries) <= keep {
		return
	}
	sort.Slice(entries, func(i, j int) bool { return modified(entries[i]) > modified(entries[j]) })
	for _, old := range entries[keep:] {
		if !strings.HasSuffix(old, key) {
			os.RemoveAll(old)
		}
	}
}

func modified(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

// key hashes the Go version, extra words, and the files below the given paths.
func (c *Cache) key(words []string, paths ...string) (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, c.goName, words)
	for _, path := range paths {
		err := filepath.WalkDir(filepath.Join(c.source, path), func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(file, "_test.go") {
				return err
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(c.source, file)
			fmt.Fprintf(hash, "%s %x\n", name, sha256.Sum256(text))
			return err
		})
		if err != nil {
			return "", fmt.Errorf("hash the sources: %w", err)
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:8]), nil
}
