package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

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
	orphans, err := loop.Orphans()
	if err != nil {
		return err
	}
	devices = append(devices, orphans...)
	if err := process.KillAll(c); err != nil {
		return err
	}
	err = errors.Join(
		detachAll(ctx, devices),
		process.RemoveCgroups(c),
		network.Disconnect(ctx, c),
	)
	if err != nil {
		return err
	}
	// The folders go last: by the pool's image its devices are known.
	if err := errors.Join(os.RemoveAll(c.Run()), os.RemoveAll(c.Data())); err != nil {
		return err
	}
	if left := leftovers(c); len(left) > 0 {
		return fmt.Errorf("still there: %s", strings.Join(left, "; "))
	}
	return nil
}

// detachAll detaches a cluster's devices and waits until they are gone: the last
// user of one, a mount in a namespace that is being taken down, may need a
// moment more than the process that held it.
func detachAll(ctx context.Context, devices []loop.Device) error {
	if err := loop.DetachAll(devices); err != nil {
		return err
	}
	return step.Until(ctx, "the loop devices to go", 20*time.Second, "", func() error {
		left, err := loop.StillAttached(devices)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("still attached: %s", paths(left))
		}
		return err
	})
}

func paths(devices []loop.Device) string {
	var names []string
	for _, device := range devices {
		names = append(names, device.Path())
	}
	return strings.Join(names, ", ")
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
		found = append(found, "loop devices "+paths(devices))
	}
	for _, folder := range []string{c.Run(), c.Data()} {
		if _, err := os.Stat(folder); err == nil {
			found = append(found, "folder "+folder)
		}
	}
	return found
}
