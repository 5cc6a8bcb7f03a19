package driver

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ferry.dev/e2e/cluster/internal/faults"
	"ferry.dev/e2e/cluster/internal/filesystem"
	"ferry.dev/e2e/cluster/internal/loop"
	"ferry.dev/e2e/cluster/internal/pool"
)

// ControllerExpandVolume makes a volume's image larger. A volume never shrinks.
func (d *Driver) ControllerExpandVolume(_ context.Context, request *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error) {
	handle := request.GetVolumeId()
	if handle == "" || request.GetCapacityRange() == nil {
		return nil, invalid("volume_id and capacity_range are required")
	}
	defer d.locks.lock(handle)()
	volume, err := d.pool.Volume(handle)
	if err != nil {
		return nil, fail(err)
	}
	size, err := sizeFor(request.GetCapacityRange(), 0)
	if err != nil {
		return nil, err
	}
	switches, err := faults.FromParameters(volume.Parameters)
	if err != nil {
		return nil, fail(err)
	}
	if size > volume.Size && switches.FaultDevice {
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s has a device with fault switches, which does not grow", handle)
	}
	if size > volume.Size {
		// What is on the volume, now or later, grows when it is next mounted,
		// unless the node grows it before.
		volume.GrowFileSystem = true
		if err := d.pool.GrowVolume(volume, size); err != nil {
			return nil, fail(err)
		}
	}
	return &csi.ControllerExpandVolumeResponse{CapacityBytes: max(size, volume.Size), NodeExpansionRequired: true}, nil
}

// NodeExpandVolume makes the devices of a volume take its image's size, and a
// mounted file system its device's.
func (d *Driver) NodeExpandVolume(_ context.Context, request *csi.NodeExpandVolumeRequest) (*csi.NodeExpandVolumeResponse, error) {
	handle, path := request.GetVolumeId(), request.GetVolumePath()
	if handle == "" || path == "" {
		return nil, invalid("volume_id and volume_path are required")
	}
	defer d.locks.lock(handle)()
	volume, err := d.pool.Volume(handle)
	if err != nil {
		return nil, fail(err)
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, status.Errorf(codes.NotFound, "volume %s is not published at %s", handle, path)
	}
	if err != nil {
		return nil, fail(err)
	}
	if err := d.refreshDevices(handle); err != nil {
		return nil, fail(err)
	}
	if info.IsDir() {
		if err := d.growMounted(volume); err != nil {
			return nil, fail(err)
		}
	}
	return &csi.NodeExpandVolumeResponse{CapacityBytes: volume.Size}, nil
}

func (d *Driver) refreshDevices(handle string) error {
	devices, err := loop.FindAll(d.pool.VolumeImage(handle))
	if err != nil {
		return err
	}
	for _, device := range devices {
		if err := loop.Refresh(device.Number); err != nil {
			return err
		}
	}
	return nil
}

// growMounted grows a file system under its user. Where the kernel doesn't let
// it, the record goes on saying that the next mount is to do it.
func (d *Driver) growMounted(volume pool.Volume) error {
	device, attached, err := loop.FindWritable(d.pool.VolumeImage(volume.Handle))
	if err != nil {
		return err
	}
	if !attached {
		return status.Errorf(codes.FailedPrecondition, "volume %s is not staged", volume.Handle)
	}
	mountpoint, mounted, err := filesystem.MountOf(device.Path())
	if err != nil {
		return err
	}
	if !mounted {
		return status.Errorf(codes.FailedPrecondition, "volume %s is not mounted", volume.Handle)
	}
	err = filesystem.Grow(device.Path(), mountpoint)
	if errors.Is(err, filesystem.ErrNotWhileMounted) {
		return status.Errorf(codes.FailedPrecondition, "volume %s grows when it is next mounted: %v", volume.Handle, err)
	}
	if err != nil || !volume.GrowFileSystem {
		return err
	}
	volume.GrowFileSystem = false
	return d.pool.UpdateVolume(volume)
}

// growStaged grows a file system that could not grow under its user, now that
// no pod has it: where the next pod is there at once, the kubelet leaves a
// volume staged between the two. It is mounted, as it was,
// whatever comes of it.
func (d *Driver) growStaged(volume pool.Volume, request *csi.NodePublishVolumeRequest) error {
	if !volume.GrowFileSystem {
		return nil
	}
	device, attached, err := loop.FindWritable(d.pool.VolumeImage(volume.Handle))
	if err != nil || !attached {
		return err
	}
	mounts, err := filesystem.CountMounts(device.Path())
	if err != nil || mounts != 1 {
		return err // another pod has it, or it isn't staged
	}
	stage := &csi.NodeStageVolumeRequest{
		VolumeId: volume.Handle, StagingTargetPath: request.GetStagingTargetPath(), VolumeCapability: request.GetVolumeCapability(),
	}
	if err := filesystem.Unmount(stage.GetStagingTargetPath()); err != nil {
		slog.Info("the file system is not grown yet: somebody has it open", "volume", volume.Handle, "error", err)
		return nil
	}
	if err := d.stageMount(volume, device, stage); err != nil {
		slog.Warn("the file system could not be grown; going on without", "volume", volume.Handle, "error", err)
		volume.GrowFileSystem = false // only here: the record still has it
		return d.stageMount(volume, device, stage)
	}
	return nil
}
