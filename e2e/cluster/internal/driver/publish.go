package driver

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ferry.dev/e2e/cluster/internal/filesystem"
	"ferry.dev/e2e/cluster/internal/loop"
	"ferry.dev/e2e/cluster/internal/pool"
)

// NodePublishVolume makes a staged volume appear at the target path.
func (d *Driver) NodePublishVolume(_ context.Context, request *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	if request.GetVolumeId() == "" || request.GetTargetPath() == "" {
		return nil, invalid("volume_id and target_path are required")
	}
	mode, err := modeOf([]*csi.VolumeCapability{request.GetVolumeCapability()})
	if err != nil {
		return nil, err
	}
	if request.GetStagingTargetPath() == "" {
		return nil, status.Error(codes.FailedPrecondition, "staging_target_path is required: stage the volume first")
	}
	defer d.locks.lock(request.GetVolumeId())()
	volume, err := d.pool.Volume(request.GetVolumeId())
	if err != nil {
		return nil, fail(err)
	}
	mounted, err := filesystem.Mounted(request.GetTargetPath())
	if err != nil || mounted {
		return &csi.NodePublishVolumeResponse{}, fail(err)
	}
	readOnly := request.GetReadonly() || readerOnly(request.GetVolumeCapability())
	if mode == pool.ModeBlock {
		err = d.publishBlock(volume, request.GetTargetPath(), readOnly)
	} else if err = d.growStaged(volume, request); err == nil {
		err = publishMount(request, readOnly)
	}
	return &csi.NodePublishVolumeResponse{}, fail(err)
}

func readerOnly(capability *csi.VolumeCapability) bool {
	mode := capability.GetAccessMode().GetMode()
	return mode == csi.VolumeCapability_AccessMode_SINGLE_NODE_READER_ONLY ||
		mode == csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY
}

func publishMount(request *csi.NodePublishVolumeRequest, readOnly bool) error {
	staged, err := filesystem.Mounted(request.GetStagingTargetPath())
	if err != nil {
		return err
	}
	if !staged {
		return status.Errorf(codes.FailedPrecondition, "volume %s is not staged at %s", request.GetVolumeId(), request.GetStagingTargetPath())
	}
	if err := os.MkdirAll(request.GetTargetPath(), 0o750); err != nil {
		return err
	}
	return filesystem.Bind(request.GetStagingTargetPath(), request.GetTargetPath(), readOnly)
}

// publishBlock binds the device's node to the target. A read-only publication
// has a read-only device of its own, so that no capability of the pod can make
// it writable.
func (d *Driver) publishBlock(volume pool.Volume, target string, readOnly bool) error {
	device, staged, err := loop.FindWritable(d.pool.VolumeImage(volume.Handle))
	if err != nil {
		return err
	}
	if !staged {
		return status.Errorf(codes.FailedPrecondition, "volume %s is not staged", volume.Handle)
	}
	if readOnly {
		// What the writable device still caches has to be in the image before
		// another device reads the image.
		if err := loop.Flush(device.Number); err != nil {
			return err
		}
		if device, err = d.attach(volume, true); err != nil {
			return err
		}
	}
	if err := bindDevice(device, target); err != nil {
		if readOnly {
			err = errors.Join(err, loop.Detach(device.Number))
		}
		return err
	}
	return nil
}

func bindDevice(device loop.Device, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return err
	}
	file, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o660)
	if err != nil {
		return err
	}
	file.Close()
	return filesystem.Bind(device.Path(), target, false)
}

// NodeUnpublishVolume undoes NodePublishVolume.
func (d *Driver) NodeUnpublishVolume(_ context.Context, request *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	if request.GetVolumeId() == "" || request.GetTargetPath() == "" {
		return nil, invalid("volume_id and target_path are required")
	}
	defer d.locks.lock(request.GetVolumeId())()
	target := request.GetTargetPath()
	number, isDevice := loop.NumberOf(target)
	if err := filesystem.Unmount(target); err != nil {
		return nil, fail(err)
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fail(err)
	}
	if isDevice {
		if err := d.detachReadOnly(request.GetVolumeId(), number); err != nil {
			return nil, fail(err)
		}
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// detachReadOnly detaches the device of a read-only publication. The writable
// device is left alone: it belongs to the staging.
func (d *Driver) detachReadOnly(handle string, number int) error {
	devices, err := loop.FindAll(d.pool.VolumeImage(handle))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, device := range devices {
		if device.Number == number && device.ReadOnly {
			return loop.Detach(number)
		}
	}
	return nil
}
