// Package scratch makes a pool for tests that need real volumes and no cluster.
package scratch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"ferry.dev/e2e/cluster/internal/filesystem"
	"ferry.dev/e2e/cluster/internal/loop"
	"ferry.dev/e2e/cluster/internal/step"
)

const poolSize = 64 << 30

// Pool is an XFS in a sparse file, mounted.
type Pool struct {
	image string
	// Path is where it is mounted.
	Path string
}

// NewPool makes and mounts a pool below a folder.
func NewPool(ctx context.Context, folder string) (*Pool, error) {
	p := &Pool{image: filepath.Join(folder, "pool.img"), Path: filepath.Join(folder, "pool")}
	if err := os.Mkdir(p.Path, 0o755); err != nil {
		return nil, err
	}
	file, err := os.Create(p.image)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := file.Truncate(poolSize); err != nil {
		return nil, err
	}
	if err := step.Run(ctx, "mkfs.xfs", "-q", "-K", "-m", "reflink=1,crc=1", p.image); err != nil {
		return nil, err
	}
	return p, step.Run(ctx, "mount", "-o", "loop", p.image, p.Path)
}

// Remove unmounts the pool, and detaches what a failed test left on it.
func (p *Pool) Remove() error {
	devices, err := loop.StandingOn(p.image)
	if err != nil {
		return err
	}
	var failed []error
	// The first device is the pool's own: unmounting detaches it.
	for i := len(devices) - 1; i > 0; i-- {
		failed = append(failed, unmountAll(devices[i].Path()), loop.Detach(devices[i].Number))
	}
	if err := p.unmount(); err != nil {
		failed = append(failed, fmt.Errorf("remove the pool: %w", err))
	}
	return errors.Join(failed...)
}

// unmount waits a little for the processes behind devices with fault switches,
// which have images open until the kernel has let go of their devices.
func (p *Pool) unmount() error {
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := filesystem.Unmount(p.Path)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func unmountAll(device string) error {
	for {
		mountpoint, mounted, err := filesystem.MountOf(device)
		if err != nil || !mounted {
			return err
		}
		if err := filesystem.Unmount(mountpoint); err != nil {
			return err
		}
	}
}
