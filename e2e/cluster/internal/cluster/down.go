package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/loop"
	"ferry.dev/e2e/cluster/internal/network"
	"ferry.dev/e2e/cluster/internal/process"
	"ferry.dev/e2e/cluster/internal/step"
)

// Down removes everything of the clusters but what is in the cache, and makes
// sure that nothing is left. It works from any state: what belongs to a cluster
// is found by looking at the machine, not by what was written down.
func Down(ctx context.Context, clusters []layout.Cluster, report *step.Reporter) error {
	var works []func() error
	for _, c := range clusters {
		works = append(works, func() error {
			unlock, err := lock(c, report)
			if err != nil {
				return err
			}
			defer unlock()
			if err := lower(ctx, c); err != nil {
				return fmt.Errorf("cluster %s: %w", c.Name, err)
			}
			report.Say("%s is down; nothing of it is left", c.Name)
			return nil
		})
	}
	if err := step.Parallel(works...); err != nil {
		return err
	}
	for _, c := range layout.Clusters() {
		if len(leftovers(c)) > 0 {
			return nil // the other cluster still uses the bridge
		}
	}
	// Only empty folders go: another program may have put something there.
	_ = os.Remove(layout.RunRoot())
	_ = os.Remove(layout.DataRoot())
	return network.RemoveBridge(ctx)
}

// lower takes one cluster down. Processes go first, and with the last of them
// its mount namespace and all mounts; then what outlives processes.
func lower(ctx context.Context, c layout.Cluster) error {
	devices, err := loop.StandingOn(c.PoolImage())
	if err != nil {
		return err
	}
	if err := process.KillAll(c); err != nil {
		return err
	}
	err = errors.Join(
		loop.DetachAll(devices),
		process.RemoveCgroups(c),
		network.Disconnect(ctx, c),
		os.RemoveAll(c.Run()),
		os.RemoveAll(c.Data()),
	)
	if err != nil {
		return err
	}
	if left := leftovers(c); len(left) > 0 {
		return fmt.Errorf("still there: %s", strings.Join(left, "; "))
	}
	return nil
}

// leftovers names everything of a cluster that is there.
func leftovers(c layout.Cluster) []string {
	found := network.Leftovers(c)
	if pids := process.Find(c); len(pids) > 0 {
		found = append(found, "processes "+process.Describe(pids))
	}
	for _, path := range process.CgroupLeftovers(c) {
		found = append(found, "cgroup "+path)
	}
	devices, err := loop.StandingOn(c.PoolImage())
	if err == nil && len(devices) > 0 {
		found = append(found, fmt.Sprintf("loop devices %v", devices))
	}
	for _, folder := range []string{c.Run(), c.Data()} {
		if _, err := os.Stat(folder); err == nil {
			found = append(found, "folder "+folder)
		}
	}
	return found
}
