package driver

import (
	"context"
	"errors"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ferry.dev/e2e/cluster/internal/loop"
	"ferry.dev/e2e/cluster/internal/pool"
)

// DeleteVolume removes a volume that no node uses. Its snapshots stay: they
// hold the blocks they share.
func (d *Driver) DeleteVolume(_ context.Context, request *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	handle := request.GetVolumeId()
	if handle == "" {
		return nil, invalid("volume_id is required")
	}
	defer d.locks.lock(handle)()
	_, err := d.pool.Volume(handle)
	if errors.Is(err, pool.ErrNotFound) {
		return &csi.DeleteVolumeResponse{}, nil
	}
	if err != nil {
		return nil, fail(err)
	}
	devices, err := loop.FindAll(d.pool.VolumeImage(handle))
	if err != nil {
		return nil, fail(err)
	}
	if len(devices) > 0 {
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s is in use as %s", handle, devices[0].Path())
	}
	return &csi.DeleteVolumeResponse{}, fail(d.pool.RemoveVolume(handle))
}

// DeleteSnapshot removes a snapshot.
func (d *Driver) DeleteSnapshot(_ context.Context, request *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	if !d.config.Snapshots {
		return nil, errNoSnapshots
	}
	if request.GetSnapshotId() == "" {
		return nil, invalid("snapshot_id is required")
	}
	return &csi.DeleteSnapshotResponse{}, fail(d.pool.RemoveSnapshot(request.GetSnapshotId()))
}
