package cluster

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/step"
)

// lock keeps other runs of the lab from bringing this cluster up or down at the
// same time. The kernel gives it back when this process ends, however it ends.
func lock(c layout.Cluster, report *step.Reporter) (unlock func(), err error) {
	path := "/run/lock/" + c.Cgroup()
	if err := os.MkdirAll("/run/lock", 0o1777); err != nil {
		return nil, fmt.Errorf("lock cluster %s: %w", c.Name, err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock cluster %s: %w", c.Name, err)
	}
	if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		report.Say("another run of the lab is at work on %s; waiting for it", c.Name)
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
			file.Close()
			return nil, fmt.Errorf("lock cluster %s: %w", c.Name, err)
		}
	}
	return func() { file.Close() }, nil
}
