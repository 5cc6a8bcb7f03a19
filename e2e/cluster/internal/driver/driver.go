// Package driver is a CSI driver whose volumes are sparse files on one XFS
// with reflink. It is meant for tests, and real all the same: the kubelet
// mounts its volumes and the official sidecars drive it.
//
// There is one node, so the controller and the node service are one process
// and share the pool.
package driver

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ferry.dev/e2e/cluster/internal/faults"
	"ferry.dev/e2e/cluster/internal/filesystem"
	"ferry.dev/e2e/cluster/internal/loop"
	"ferry.dev/e2e/cluster/internal/pool"
)

// Version is what the driver calls itself.
const Version = "1.0.0"

// Config is what one instance of the driver is told at its start.
type Config struct {
	Name string
	Node string
	// Snapshots and SnapshotMetadata say what this instance offers: drivers
	// without one or both exist, and the product has to live with them.
	Snapshots        bool
	SnapshotMetadata bool
}

// Driver answers all CSI calls of one instance.
type Driver struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedControllerServer
	csi.UnimplementedNodeServer
	csi.UnimplementedSnapshotMetadataServer

	config Config
	pool   *pool.Pool
	faults *faults.Source
	locks  keyedLocks
}

// New returns a driver on a pool. It thaws what an earlier process may have
// left frozen when it died in the middle of a snapshot, and takes no device
// over whose faults that process had a part in.
func New(config Config, volumes *pool.Pool, switches *faults.Source) (*Driver, error) {
	d := &Driver{config: config, pool: volumes, faults: switches}
	records, err := volumes.Volumes()
	if err != nil {
		return nil, err
	}
	for _, volume := range records {
		if err := d.thaw(volume.Handle); err != nil {
			return nil, err
		}
		if err := d.dropFronts(volume.Handle); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *Driver) thaw(handle string) error {
	device, attached, err := loop.FindWritable(d.pool.VolumeImage(handle))
	if err != nil || !attached {
		return err
	}
	mountpoint, mounted, err := filesystem.MountOf(device.Path())
	if err != nil || !mounted {
		return err
	}
	return filesystem.Thaw(mountpoint)
}

// fail turns an error into a gRPC status: what isn't in the pool is NotFound,
// a status passes as it is, all else is Internal.
func fail(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	if errors.Is(err, pool.ErrNotFound) {
		return status.Error(codes.NotFound, err.Error())
	}
	slog.Error("call failed", "error", err)
	return status.Error(codes.Internal, err.Error())
}

func invalid(format string, arguments ...any) error {
	return status.Error(codes.InvalidArgument, fmt.Sprintf(format, arguments...))
}
