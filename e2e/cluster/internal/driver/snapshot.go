package driver

import (
	"context"
	"errors"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"ferry.dev/e2e/cluster/internal/pool"
)

var errNoSnapshots = status.Error(codes.Unimplemented, "this driver has no snapshots")

// CreateSnapshot takes a crash-consistent snapshot of a volume, in use or not.
func (d *Driver) CreateSnapshot(_ context.Context, request *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	if !d.config.Snapshots {
		return nil, errNoSnapshots
	}
	if request.GetName() == "" || request.GetSourceVolumeId() == "" {
		return nil, invalid("name and source_volume_id are required")
	}
	handle := pool.HandleFor("snap", request.GetName())
	defer d.locks.lock(handle)()

	snapshot, err := d.pool.Snapshot(handle)
	switch {
	case errors.Is(err, pool.ErrNotFound):
		snapshot, err = d.cut(handle, request)
	case err == nil && snapshot.Volume != request.GetSourceVolumeId():
		err = status.Errorf(codes.AlreadyExists, "snapshot %q exists, of volume %s", request.GetName(), snapshot.Volume)
	}
	if err != nil {
		return nil, fail(err)
	}
	return &csi.CreateSnapshotResponse{Snapshot: describeSnapshot(snapshot)}, nil
}

// cut makes a snapshot that doesn't exist yet.
func (d *Driver) cut(handle string, request *csi.CreateSnapshotRequest) (pool.Snapshot, error) {
	source := request.GetSourceVolumeId()
	defer d.locks.lock(source)()
	volume, err := d.pool.Volume(source)
	if err != nil {
		return pool.Snapshot{}, err
	}
	switches, err := d.faults.For(volume.Parameters)
	if err != nil {
		return pool.Snapshot{}, err
	}
	if switches.StallSnapshots {
		return pool.Snapshot{}, status.Error(codes.Unavailable, "fault switch: the snapshotter is stopped")
	}
	if fails, err := d.faults.SnapshotFails(source, volume.Parameters); err != nil {
		return pool.Snapshot{}, err
	} else if fails {
		return pool.Snapshot{}, status.Error(codes.Internal, "fault switch: snapshots fail")
	}
	snapshot := pool.Snapshot{
		Handle: handle, Name: request.GetName(), Volume: source, Size: volume.Size,
		Mode: volume.Mode, Format: volume.Format, GrowFileSystem: volume.GrowFileSystem, Parameters: volume.Parameters,
	}
	err = d.atRest(source, func() error {
		snapshot.Created = time.Now()
		snapshot.ReadyAt = snapshot.Created.Add(switches.SnapshotDelay)
		return d.pool.AddSnapshot(snapshot)
	})
	return snapshot, err
}

func describeSnapshot(snapshot pool.Snapshot) *csi.Snapshot {
	return &csi.Snapshot{
		SnapshotId:     snapshot.Handle,
		SourceVolumeId: snapshot.Volume,
		SizeBytes:      snapshot.Size,
		CreationTime:   timestamppb.New(snapshot.Created),
		ReadyToUse:     !time.Now().Before(snapshot.ReadyAt),
	}
}
