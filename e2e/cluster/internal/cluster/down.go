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
	devices, err := poolDevices(c)
	if err != nil {
		return err
	}
	if err := process.KillAll(c); err != nil {
		return err
	}
	err = errors.Join(
		detachAll(devices),
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

// poolDevices are the loop devices that stand on the cluster's pool, directly
// or through others: the pool's own, those of volumes, and those that the
// kubelet puts on block volumes. Each knows the identity of what is behind it,
// which leads from one to the next even when no path does any more.
func poolDevices(c layout.Cluster) ([]int, error) {
	pool, err := loop.Identify(c.PoolImage())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	attached, err := loop.List()
	if err != nil {
		return nil, err
	}
	var found []int
	known := map[int]bool{}
	for grew := true; grew; {
		grew = false
		for _, device := range attached {
			if !known[device.Number] && standsOn(device, pool, known) {
				known[device.Number] = true
				found = append(found, device.Number)
				grew = true
			}
		}
	}
	return found, nil
}

func standsOn(device loop.Attached, pool loop.FileID, known map[int]bool) bool {
	if device.Backing == pool {
		return true
	}
	for number := range known {
		id := loop.DeviceID(number)
		if device.Backing.Device == id || device.BackingDevice == id {
			return true
		}
	}
	return false
}

// detachAll detaches devices, those that stand on others first.
func detachAll(numbers []int) error {
	var failed []error
	for i := len(numbers) - 1; i >= 0; i-- {
		failed = append(failed, loop.Detach(numbers[i]))
	}
	return errors.Join(failed...)
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
	devices, err := poolDevices(c)
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
