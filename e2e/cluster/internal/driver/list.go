package driver

import (
	"context"
	"errors"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ferry.dev/e2e/cluster/internal/pool"
)

// ListVolumes lists all volumes, by pages if asked to.
func (d *Driver) ListVolumes(_ context.Context, request *csi.ListVolumesRequest) (*csi.ListVolumesResponse, error) {
	volumes, err := d.pool.Volumes()
	if err != nil {
		return nil, fail(err)
	}
	page, next, err := paginate(volumes, func(v pool.Volume) string { return v.Handle },
		"vol-", request.GetStartingToken(), request.GetMaxEntries())
	if err != nil {
		return nil, err
	}
	response := &csi.ListVolumesResponse{NextToken: next}
	for _, volume := range page {
		response.Entries = append(response.Entries, &csi.ListVolumesResponse_Entry{Volume: describe(volume)})
	}
	return response, nil
}

// ListSnapshots lists all snapshots, those of one volume, or one snapshot.
func (d *Driver) ListSnapshots(_ context.Context, request *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	if !d.config.Snapshots {
		return nil, errNoSnapshots
	}
	snapshots, err := d.snapshotsFor(request)
	if err != nil {
		return nil, fail(err)
	}
	page, next, err := paginate(snapshots, func(s pool.Snapshot) string { return s.Handle },
		"snap-", request.GetStartingToken(), request.GetMaxEntries())
	if err != nil {
		return nil, err
	}
	response := &csi.ListSnapshotsResponse{NextToken: next}
	for _, snapshot := range page {
		response.Entries = append(response.Entries, &csi.ListSnapshotsResponse_Entry{Snapshot: describeSnapshot(snapshot)})
	}
	return response, nil
}

// snapshotsFor applies the request's filters. A filter that names something
// absent finds nothing, which the specification wants to be no error.
func (d *Driver) snapshotsFor(request *csi.ListSnapshotsRequest) ([]pool.Snapshot, error) {
	if handle := request.GetSnapshotId(); handle != "" {
		snapshot, err := d.pool.Snapshot(handle)
		if errors.Is(err, pool.ErrNotFound) {
			return nil, nil
		}
		return []pool.Snapshot{snapshot}, err
	}
	snapshots, err := d.pool.Snapshots()
	if err != nil || request.GetSourceVolumeId() == "" {
		return snapshots, err
	}
	var found []pool.Snapshot
	for _, snapshot := range snapshots {
		if snapshot.Volume == request.GetSourceVolumeId() {
			found = append(found, snapshot)
		}
	}
	return found, nil
}

// paginate returns the entries from the token on, at most limit of them, and
// the token of the next page. A token is the handle its page begins at, so a
// page stays right when entries before it come or go.
func paginate[T any](entries []T, handle func(T) string, prefix, token string, limit int32) ([]T, string, error) {
	if limit < 0 {
		return nil, "", invalid("max_entries is %d; it must not be negative", limit)
	}
	if token != "" && !strings.HasPrefix(token, prefix) {
		return nil, "", status.Errorf(codes.Aborted, "starting_token %q was not given out by this driver; begin again without it", token)
	}
	start := 0
	for start < len(entries) && handle(entries[start]) < token {
		start++
	}
	entries = entries[start:]
	if limit == 0 || len(entries) <= int(limit) {
		return entries, "", nil
	}
	return entries[:limit], handle(entries[limit]), nil
}

// GetCapacity says how many bytes volumes can still fill.
func (d *Driver) GetCapacity(context.Context, *csi.GetCapacityRequest) (*csi.GetCapacityResponse, error) {
	free, err := d.pool.Free()
	if err != nil {
		return nil, fail(err)
	}
	return &csi.GetCapacityResponse{AvailableCapacity: free}, nil
}
