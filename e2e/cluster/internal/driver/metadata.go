package driver

import (
	"errors"
	"os"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ferry.dev/e2e/cluster/internal/extents"
	"ferry.dev/e2e/cluster/internal/faults"
	"ferry.dev/e2e/cluster/internal/pool"
)

// GetMetadataAllocated streams the ranges of a snapshot that hold data.
func (d *Driver) GetMetadataAllocated(request *csi.GetMetadataAllocatedRequest, stream csi.SnapshotMetadata_GetMetadataAllocatedServer) error {
	if request.GetSnapshotId() == "" {
		return invalid("snapshot_id is required")
	}
	snapshot, switches, err := d.metadataTarget(request.GetSnapshotId(), request.GetStartingOffset(), request.GetMaxResults())
	if err != nil {
		return fail(err)
	}
	mapped, err := mapFile(d.pool.SnapshotImage(snapshot.Handle))
	if err != nil {
		return fail(err)
	}
	ranges := from(extents.Allocated(mapped), request.GetStartingOffset())
	return sendRanges(ranges, request.GetMaxResults(), switches, func(tuples []*csi.BlockMetadata) error {
		return stream.Send(&csi.GetMetadataAllocatedResponse{
			BlockMetadataType:   csi.BlockMetadataType_VARIABLE_LENGTH,
			VolumeCapacityBytes: snapshot.Size,
			BlockMetadata:       tuples,
		})
	})
}

// GetMetadataDelta streams the ranges in which two snapshots can differ.
func (d *Driver) GetMetadataDelta(request *csi.GetMetadataDeltaRequest, stream csi.SnapshotMetadata_GetMetadataDeltaServer) error {
	if request.GetBaseSnapshotId() == "" || request.GetTargetSnapshotId() == "" {
		return invalid("base_snapshot_id and target_snapshot_id are required")
	}
	target, switches, err := d.metadataTarget(request.GetTargetSnapshotId(), request.GetStartingOffset(), request.GetMaxResults())
	if err != nil {
		return fail(err)
	}
	base, err := d.pool.Snapshot(request.GetBaseSnapshotId())
	if err != nil {
		return fail(err)
	}
	if err := refuseMode(base, switches); err != nil {
		return err
	}
	if base.Volume != target.Volume {
		return invalid("snapshot %s is of volume %s and snapshot %s of volume %s", base.Handle, base.Volume, target.Handle, target.Volume)
	}
	if base.Created.After(target.Created) {
		return invalid("base snapshot %s is newer than target snapshot %s", base.Handle, target.Handle)
	}
	changed, err := d.delta(base, target)
	if err != nil {
		return fail(err)
	}
	ranges := from(changed, request.GetStartingOffset())
	return sendRanges(ranges, request.GetMaxResults(), switches, func(tuples []*csi.BlockMetadata) error {
		return stream.Send(&csi.GetMetadataDeltaResponse{
			BlockMetadataType:   csi.BlockMetadataType_VARIABLE_LENGTH,
			VolumeCapacityBytes: target.Size,
			BlockMetadata:       tuples,
		})
	})
}

// metadataTarget returns the snapshot that a call is about, once it is clear
// that this driver answers such a call at all.
func (d *Driver) metadataTarget(handle string, offset int64, limit int32) (pool.Snapshot, faults.Switches, error) {
	none := faults.Switches{}
	if !d.config.SnapshotMetadata {
		return pool.Snapshot{}, none, status.Error(codes.Unimplemented, "this driver has no snapshot metadata")
	}
	snapshot, err := d.pool.Snapshot(handle)
	if err != nil {
		return pool.Snapshot{}, none, err
	}
	switches, err := d.faults.For(snapshot.Parameters)
	if err != nil {
		return pool.Snapshot{}, none, err
	}
	switch {
	case switches.SnapshotMetadata == faults.MetadataOff:
		return pool.Snapshot{}, none, status.Error(codes.FailedPrecondition, "fault switch: changed block tracking is not enabled")
	case refuseMode(snapshot, switches) != nil:
		return pool.Snapshot{}, none, refuseMode(snapshot, switches)
	case limit < 0:
		return pool.Snapshot{}, none, invalid("max_results is %d; it must not be negative", limit)
	case offset < 0 || offset > snapshot.Size:
		return pool.Snapshot{}, none, status.Errorf(codes.OutOfRange, "starting_offset %d is outside the %d bytes of snapshot %s", offset, snapshot.Size, handle)
	}
	return snapshot, switches, nil
}

// refuseMode is the switch block-only: the answer of drivers that keep metadata
// for block volumes alone. What counts is how the source volume was published
// at the cut or, where it never was, what it was claimed as.
func refuseMode(snapshot pool.Snapshot, switches faults.Switches) error {
	if switches.SnapshotMetadata == faults.MetadataBlockOnly && snapshot.Mode != pool.ModeBlock {
		return invalid("source volume of snapshot %s is not a block volume", snapshot.Handle)
	}
	return nil
}

func (d *Driver) delta(base, target pool.Snapshot) ([]extents.Range, error) {
	before, err := mapFile(d.pool.SnapshotImage(base.Handle))
	if err != nil {
		return nil, err
	}
	after, err := mapFile(d.pool.SnapshotImage(target.Handle))
	if err != nil {
		return nil, err
	}
	return extents.Delta(before, after), nil
}

func mapFile(path string) ([]extents.Extent, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, pool.ErrNotFound // deleted since its record was read
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return extents.Map(file)
}

// from drops the ranges that end at or before an offset. The first that is
// left may begin before the offset, as the specification allows.
func from(ranges []extents.Range, offset int64) []extents.Range {
	for len(ranges) > 0 && ranges[0].End() <= offset {
		ranges = ranges[1:]
	}
	return ranges
}

// largestMessage bounds the tuples of one message where the caller doesn't.
const largestMessage = 4096

// sendRanges sends ranges in messages of at most limit tuples. The switch
// fail-midstream makes it break off half-way, after a message where there is
// anything to send.
func sendRanges(ranges []extents.Range, limit int32, switches faults.Switches, send func([]*csi.BlockMetadata) error) error {
	size := largestMessage
	if limit > 0 {
		size = min(size, int(limit))
	}
	breakOff := switches.SnapshotMetadata == faults.MetadataFailMidstream
	if breakOff {
		ranges = ranges[:(len(ranges)+1)/2]
	}
	for len(ranges) > 0 {
		count := min(size, len(ranges))
		if err := send(tuples(ranges[:count])); err != nil {
			return err
		}
		ranges = ranges[count:]
	}
	if breakOff {
		return status.Error(codes.Unavailable, "fault switch: the metadata stream breaks off")
	}
	return nil
}

func tuples(ranges []extents.Range) []*csi.BlockMetadata {
	list := make([]*csi.BlockMetadata, 0, len(ranges))
	for _, r := range ranges {
		list = append(list, &csi.BlockMetadata{ByteOffset: r.Offset, SizeBytes: r.Length})
	}
	return list
}
