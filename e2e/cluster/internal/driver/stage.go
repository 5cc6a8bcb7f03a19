package driver

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ferry.dev/e2e/cluster/internal/extents"
	"ferry.dev/e2e/cluster/internal/filesystem"
	"ferry.dev/e2e/cluster/internal/loop"
	"ferry.dev/e2e/cluster/internal/pool"
)

// NodeGetInfo names the node.
func (d *Driver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: d.config.Node}, nil
}

// NodeStageVolume attaches a volume's image to a loop device and, for a file
// system, mounts it at the staging path.
func (d *Driver) NodeStageVolume(_ context.Context, request *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	if request.GetVolumeId() == "" || request.GetStagingTargetPath() == "" {
		return nil, invalid("volume_id and staging_target_path are required")
	}
	mode, err := modeOf([]*csi.VolumeCapability{request.GetVolumeCapability()})
	if err != nil {
		return nil, err
	}
	defer d.locks.lock(request.GetVolumeId())()
	volume, err := d.pool.Volume(request.GetVolumeId())
	if err != nil {
		return nil, fail(err)
	}
	volume.Mode = mode
	if err := d.pool.UpdateVolume(volume); err != nil {
		return nil, fail(err)
	}
	device, err := d.attachOnce(volume)
	if err != nil {
		return nil, fail(err)
	}
	if mode == pool.ModeMount {
		err = d.stageMount(volume, device, request)
	}
	return &csi.NodeStageVolumeResponse{}, fail(err)
}

// leavingLimit is how long staging waits for the device of an earlier staging
// that somebody still has open. Then the call fails, and the kubelet repeats it.
const leavingLimit = 5 * time.Second

// attachOnce returns the writable device of a volume and attaches one only
// where there is none. A device that is leaving is no device to build on: it
// vanishes when whoever holds it lets go. Nor may there be two at once, each
// with its own idea of the content.
func (d *Driver) attachOnce(volume pool.Volume) (loop.Device, error) {
	deadline := time.Now().Add(leavingLimit)
	for {
		device, attached, err := loop.FindWritable(d.pool.VolumeImage(volume.Handle))
		switch {
		case err != nil:
			return loop.Device{}, err
		case !attached:
			return d.attach(volume, false)
		case !device.Leaving:
			return device, nil
		case time.Now().After(deadline):
			return loop.Device{}, status.Errorf(codes.Aborted, "%s was detached and is still open somewhere; waited %s for it", device.Path(), leavingLimit)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (d *Driver) stageMount(volume pool.Volume, device loop.Device, request *csi.NodeStageVolumeRequest) error {
	target := request.GetStagingTargetPath()
	mounted, err := filesystem.Mounted(target)
	if err != nil || mounted {
		return err
	}
	if err := os.MkdirAll(target, 0o750); err != nil {
		return err
	}
	mount := request.GetVolumeCapability().GetMount()
	kind, err := d.ensureFormatted(volume, device, mount.GetFsType())
	if err != nil {
		return err
	}
	grow := volume.GrowFileSystem
	// Formatting may have changed the record.
	if volume, err = d.pool.Volume(volume.Handle); err != nil {
		return err
	}
	if grow {
		// The device may have been attached before the image grew.
		if err := loop.Refresh(device.Number); err != nil {
			return err
		}
		if err := filesystem.GrowUnmounted(device.Path(), kind); err != nil {
			return err
		}
	}
	if err := filesystem.Mount(device.Path(), target, kind, mount.GetMountFlags()); err != nil {
		return err
	}
	if !grow {
		return nil
	}
	return d.finishGrowth(volume, device, target)
}

// ensureFormatted returns the type of the file system on a device. It makes
// one only on a volume that was created empty and was never written: data that
// this driver can't name is still somebody's data.
func (d *Driver) ensureFormatted(volume pool.Volume, device loop.Device, wanted string) (string, error) {
	if wanted == "" {
		wanted = filesystem.Ext4
	}
	found := ""
	if volume.Format != pool.Formatting {
		var err error
		if found, err = filesystem.Signature(device.Path()); err != nil {
			return "", err
		}
	}
	if found != "" {
		if !filesystem.Supported(found) {
			return "", status.Errorf(codes.FailedPrecondition, "volume %s holds %s, which can't be mounted here; it is left as it is", volume.Handle, found)
		}
		return found, nil
	}
	if err := d.mayFormat(volume); err != nil {
		return "", err
	}
	volume.Format = pool.Formatting
	if err := d.pool.UpdateVolume(volume); err != nil {
		return "", err
	}
	if err := filesystem.Make(device.Path(), wanted); err != nil {
		return "", err
	}
	volume.Format = pool.Given
	return wanted, d.pool.UpdateVolume(volume)
}

// mayFormat refuses where formatting could destroy data.
func (d *Driver) mayFormat(volume pool.Volume) error {
	switch volume.Format {
	case pool.Formatting:
		return nil
	case pool.Given:
		return status.Errorf(codes.FailedPrecondition, "volume %s has no file system, and is never formatted because its content came from elsewhere", volume.Handle)
	}
	image, err := os.Open(d.pool.VolumeImage(volume.Handle))
	if err != nil {
		return err
	}
	defer image.Close()
	written, err := extents.Map(image)
	if err != nil {
		return err
	}
	if len(written) > 0 {
		return status.Errorf(codes.FailedPrecondition, "volume %s has no file system and was written to as a block device; it is left as it is", volume.Handle)
	}
	return nil
}

// finishGrowth completes, once, what makes a file system fill a device that is
// larger than it: one restored into a larger volume, or one that could not be
// grown while it was mounted.
func (d *Driver) finishGrowth(volume pool.Volume, device loop.Device, target string) error {
	if err := filesystem.Grow(device.Path(), target); err != nil {
		return err
	}
	volume.GrowFileSystem = false
	return d.pool.UpdateVolume(volume)
}

// NodeUnstageVolume undoes NodeStageVolume.
func (d *Driver) NodeUnstageVolume(_ context.Context, request *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	if request.GetVolumeId() == "" || request.GetStagingTargetPath() == "" {
		return nil, invalid("volume_id and staging_target_path are required")
	}
	defer d.locks.lock(request.GetVolumeId())()
	if err := filesystem.Unmount(request.GetStagingTargetPath()); err != nil {
		return nil, fail(err)
	}
	if _, err := d.pool.Volume(request.GetVolumeId()); errors.Is(err, pool.ErrNotFound) {
		return &csi.NodeUnstageVolumeResponse{}, nil
	}
	device, attached, err := loop.FindWritable(d.pool.VolumeImage(request.GetVolumeId()))
	if err == nil && attached {
		err = loop.Detach(device.Number)
	}
	return &csi.NodeUnstageVolumeResponse{}, fail(err)
}
