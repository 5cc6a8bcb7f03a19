package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ferry.dev/e2e/cluster/internal/layout"
)

const (
	cgroupRoot  = "/sys/fs/cgroup"
	unifiedMark = cgroupRoot + "/cgroup.controllers"
)

// MakeCgroups makes the cluster's cgroup in every hierarchy of the machine.
func MakeCgroups(c layout.Cluster) error {
	if _, err := os.Stat(unifiedMark); err == nil {
		return makeUnified(c)
	}
	hierarchies, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		if err := os.MkdirAll(filepath.Join(hierarchy, c.Cgroup()), 0o755); err != nil {
			return fmt.Errorf("make cgroup: %w", err)
		}
	}
	return nil
}

// makeUnified hands the controllers down to the cluster's cgroup, which a
// unified hierarchy doesn't do by itself.
func makeUnified(c layout.Cluster) error {
	text, err := os.ReadFile(unifiedMark)
	if err != nil {
		return fmt.Errorf("make cgroup: %w", err)
	}
	for _, controller := range strings.Fields(string(text)) {
		// A controller that can't be handed down is one that pods don't need.
		_ = os.WriteFile(cgroupRoot+"/cgroup.subtree_control", []byte("+"+controller), 0o644)
	}
	return os.MkdirAll(filepath.Join(cgroupRoot, c.Cgroup()), 0o755)
}

// hierarchies are the mounted hierarchies of cgroup version 1, the named and
// the unified one beside them included.
func hierarchies() ([]string, error) {
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, fmt.Errorf("list cgroup hierarchies: %w", err)
	}
	var found []string
	for _, entry := range entries {
		path := filepath.Join(cgroupRoot, entry.Name())
		if _, err := os.Stat(filepath.Join(path, "cgroup.procs")); err == nil && entry.Type()&fs.ModeSymlink == 0 {
			found = append(found, path)
		}
	}
	return found, nil
}

// CgroupLeftovers are the cluster's cgroups that are still there.
func CgroupLeftovers(c layout.Cluster) []string {
	found, err := filepath.Glob(filepath.Join(cgroupRoot, "*", c.Cgroup()))
	if err != nil {
		return nil
	}
	if unified := filepath.Join(cgroupRoot, c.Cgroup()); exists(unified) {
		found = append(found, unified)
	}
	return found
}

// RemoveCgroups removes the cluster's cgroups, which must have no processes.
// The kernel needs a moment after the last one has ended.
func RemoveCgroups(c layout.Cluster) error {
	deadline := time.Now().Add(5 * time.Second)
	for {
		var failed []error
		for _, root := range CgroupLeftovers(c) {
			failed = append(failed, removeTree(root))
		}
		err := errors.Join(failed...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// removeTree removes a cgroup from the leaves up. Its files are no obstacle.
func removeTree(root string) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(root, entry.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(root)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
