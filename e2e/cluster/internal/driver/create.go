package driver

import (
	"context"
	"errors"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ferry.dev/e2e/cluster/internal/faults"
	"ferry.dev/e2e/cluster/internal/pool"
)

const (
	defaultSize = 1 << 30
	largestSize = 16 << 40
	// sector is the unit of a block device's size.
	sector = 512
)

// CreateVolume makes an empty volume, or one from a snapshot or a volume.
func (d *Driver) CreateVolume(_ context.Context, request *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	if request.GetName() == "" {
		return nil, invalid("name is required")
	}
	mode, err := modeOf(request.GetVolumeCapabilities())
	if err != nil {
		return nil, err
	}
	if _, err := faults.FromParameters(request.GetParameters()); err != nil {
		return nil, invalid("storage class: %v", err)
	}
	handle := pool.HandleFor("vol", request.GetName())
	defer d.locks.lock(handle)()

	existing, err := d.pool.Volume(handle)
	if err == nil {
		return existingVolume(existing, request)
	}
	if !errors.Is(err, pool.ErrNotFound) {
		return nil, fail(err)
	}
	volume := pool.Volume{
		Handle: handle, Name: request.GetName(), Created: time.Now(), Mode: mode,
		Format: pool.Blank, Parameters: request.GetParameters(),
	}
	if err := d.addVolume(volume, request); err != nil {
		return nil, fail(err)
	}
	created, err := d.pool.Volume(handle)
	if err != nil {
		return nil, fail(err)
	}
	return &csi.CreateVolumeResponse{Volume: describe(created)}, nil
}

// addVolume completes the record from the request's source and adds it.
func (d *Driver) addVolume(volume pool.Volume, request *csi.CreateVolumeRequest) error {
	source := request.GetVolumeContentSource()
	switch {
	case source == nil:
		size, err := sizeFor(request.GetCapacityRange(), 0)
		if err != nil {
			return err
		}
		volume.Size = size
		return d.pool.AddVolume(volume, "")
	case source.GetSnapshot() != nil:
		return d.addRestored(volume, source.GetSnapshot().GetSnapshotId(), request.GetCapacityRange())
	case source.GetVolume() != nil:
		return d.addClone(volume, source.GetVolume().GetVolumeId(), request.GetCapacityRange())
	}
	return invalid("volume_content_source is neither a snapshot nor a volume")
}

func (d *Driver) addRestored(volume pool.Volume, handle string, wanted *csi.CapacityRange) error {
	snapshot, err := d.pool.Snapshot(handle)
	if err != nil {
		return err
	}
	if time.Now().Before(snapshot.ReadyAt) {
		return status.Errorf(codes.Unavailable, "snapshot %s is not ready to use yet", handle)
	}
	volume.FromSnapshot, volume.Format = handle, pool.Given
	if volume.Size, err = sizeFor(wanted, snapshot.Size); err != nil {
		return err
	}
	volume.GrowFileSystem = snapshot.GrowFileSystem || volume.Size > snapshot.Size
	return d.pool.AddVolume(volume, d.pool.SnapshotImage(handle))
}

func (d *Driver) addClone(volume pool.Volume, handle string, wanted *csi.CapacityRange) error {
	defer d.locks.lock(handle)()
	source, err := d.pool.Volume(handle)
	if err != nil {
		return err
	}
	volume.FromVolume, volume.Format = handle, pool.Given
	if volume.Size, err = sizeFor(wanted, source.Size); err != nil {
		return err
	}
	volume.GrowFileSystem = source.GrowFileSystem || volume.Size > source.Size
	return d.atRest(handle, func() error {
		return d.pool.AddVolume(volume, d.pool.VolumeImage(handle))
	})
}

// sizeFor chooses a size in the wanted range, not below that of a source.
func sizeFor(wanted *csi.CapacityRange, source int64) (int64, error) {
	size, limit := wanted.GetRequiredBytes(), wanted.GetLimitBytes()
	if size < 0 || limit < 0 || (limit > 0 && size > limit) {
		return 0, invalid("capacity_range of %d to %d bytes is not a range", size, limit)
	}
	if size == 0 {
		size = defaultSize
		if source > 0 {
			size = source
		} else if limit > 0 {
			size = min(size, limit/sector*sector)
		}
	}
	size = (size + sector - 1) / sector * sector
	if size < source {
		return 0, status.Errorf(codes.OutOfRange, "%d bytes wanted, and the source has %d", size, source)
	}
	if size > largestSize || (limit > 0 && size > limit) {
		return 0, status.Errorf(codes.OutOfRange, "%d bytes are more than the limit", size)
	}
	return size, nil
}

// existingVolume answers a repeated request, if it is the same request.
func existingVolume(volume pool.Volume, request *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	wanted := request.GetCapacityRange()
	source := request.GetVolumeContentSource()
	fits := volume.Size >= wanted.GetRequiredBytes() &&
		(wanted.GetLimitBytes() == 0 || volume.Size <= wanted.GetLimitBytes())
	same := volume.FromSnapshot == source.GetSnapshot().GetSnapshotId() &&
		volume.FromVolume == source.GetVolume().GetVolumeId()
	if !fits || !same {
		return nil, status.Errorf(codes.AlreadyExists,
			"volume %q exists with %d bytes from %q, other than asked for", volume.Name, volume.Size, volume.FromSnapshot+volume.FromVolume)
	}
	return &csi.CreateVolumeResponse{Volume: describe(volume)}, nil
}

func describe(volume pool.Volume) *csi.Volume {
	described := &csi.Volume{VolumeId: volume.Handle, CapacityBytes: volume.Size}
	switch {
	case volume.FromSnapshot != "":
		described.ContentSource = &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
			Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: volume.FromSnapshot},
		}}
	case volume.FromVolume != "":
		described.ContentSource = &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Volume{
			Volume: &csi.VolumeContentSource_VolumeSource{VolumeId: volume.FromVolume},
		}}
	}
	return described
}
