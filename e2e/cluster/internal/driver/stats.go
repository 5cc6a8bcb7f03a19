package driver

import (
	"context"
	"errors"
	"os"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// NodeGetVolumeStats says how full a published volume is.
func (d *Driver) NodeGetVolumeStats(_ context.Context, request *csi.NodeGetVolumeStatsRequest) (*csi.NodeGetVolumeStatsResponse, error) {
	path := request.GetVolumePath()
	if request.GetVolumeId() == "" || path == "" {
		return nil, invalid("volume_id and volume_path are required")
	}
	volume, err := d.pool.Volume(request.GetVolumeId())
	if err != nil {
		return nil, fail(err)
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, status.Errorf(codes.NotFound, "volume %s is not published at %s", volume.Handle, path)
	}
	if err != nil {
		return nil, fail(err)
	}
	if !info.IsDir() {
		return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{
			{Unit: csi.VolumeUsage_BYTES, Total: volume.Size},
		}}, nil
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return nil, fail(err)
	}
	return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{{
		Unit:      csi.VolumeUsage_BYTES,
		Total:     int64(stat.Blocks) * stat.Bsize,
		Used:      int64(stat.Blocks-stat.Bfree) * stat.Bsize,
		Available: int64(stat.Bavail) * stat.Bsize,
	}, {
		Unit:      csi.VolumeUsage_INODES,
		Total:     int64(stat.Files),
		Used:      int64(stat.Files - stat.Ffree),
		Available: int64(stat.Ffree),
	}}}, nil
}
