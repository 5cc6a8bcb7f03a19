package driver

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"ferry.dev/e2e/cluster/internal/filesystem"
	"ferry.dev/e2e/cluster/internal/pool"
)

// ControllerGetCapabilities says which controller calls this instance answers.
func (d *Driver) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	types := []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_LIST_VOLUMES,
		csi.ControllerServiceCapability_RPC_GET_CAPACITY,
		csi.ControllerServiceCapability_RPC_CLONE_VOLUME,
		csi.ControllerServiceCapability_RPC_EXPAND_VOLUME,
		csi.ControllerServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	}
	if d.config.Snapshots {
		types = append(types,
			csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
			csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS)
	}
	var capabilities []*csi.ControllerServiceCapability
	for _, kind := range types {
		capabilities = append(capabilities, &csi.ControllerServiceCapability{Type: &csi.ControllerServiceCapability_Rpc{
			Rpc: &csi.ControllerServiceCapability_RPC{Type: kind},
		}})
	}
	return &csi.ControllerGetCapabilitiesResponse{Capabilities: capabilities}, nil
}

// NodeGetCapabilities says which node calls this instance answers.
func (d *Driver) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	var capabilities []*csi.NodeServiceCapability
	for _, kind := range []csi.NodeServiceCapability_RPC_Type{
		csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		csi.NodeServiceCapability_RPC_GET_VOLUME_STATS,
		csi.NodeServiceCapability_RPC_EXPAND_VOLUME,
		csi.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		capabilities = append(capabilities, &csi.NodeServiceCapability{Type: &csi.NodeServiceCapability_Rpc{
			Rpc: &csi.NodeServiceCapability_RPC{Type: kind},
		}})
	}
	return &csi.NodeGetCapabilitiesResponse{Capabilities: capabilities}, nil
}

// ValidateVolumeCapabilities confirms what the volume can be used as.
func (d *Driver) ValidateVolumeCapabilities(_ context.Context, request *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if request.GetVolumeId() == "" || len(request.GetVolumeCapabilities()) == 0 {
		return nil, invalid("volume_id and volume_capabilities are required")
	}
	if _, err := d.pool.Volume(request.GetVolumeId()); err != nil {
		return nil, fail(err)
	}
	if _, err := modeOf(request.GetVolumeCapabilities()); err != nil {
		return &csi.ValidateVolumeCapabilitiesResponse{Message: err.Error()}, nil
	}
	return &csi.ValidateVolumeCapabilitiesResponse{
		Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{VolumeCapabilities: request.GetVolumeCapabilities()},
	}, nil
}

// modeOf checks capabilities and returns the mode they ask for.
func modeOf(capabilities []*csi.VolumeCapability) (pool.Mode, error) {
	if len(capabilities) == 0 {
		return "", invalid("volume_capabilities are required")
	}
	var mode pool.Mode
	for _, capability := range capabilities {
		this, err := checkCapability(capability)
		if err != nil {
			return "", err
		}
		if mode != "" && mode != this {
			return "", invalid("a volume is asked for as block and as mount at once")
		}
		mode = this
	}
	return mode, nil
}

func checkCapability(capability *csi.VolumeCapability) (pool.Mode, error) {
	access := capability.GetAccessMode().GetMode()
	if access == csi.VolumeCapability_AccessMode_UNKNOWN {
		return "", invalid("access_mode is required")
	}
	if capability.GetBlock() != nil {
		return pool.ModeBlock, nil
	}
	mount := capability.GetMount()
	if mount == nil {
		return "", invalid("access_type is required: block or mount")
	}
	if kind := mount.GetFsType(); kind != "" && !filesystem.Supported(kind) {
		return "", invalid("fs_type %q is not supported; use ext4 or xfs", kind)
	}
	if access == csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER ||
		access == csi.VolumeCapability_AccessMode_MULTI_NODE_SINGLE_WRITER {
		return "", invalid("access mode %s is not possible for a file system on a block device", access)
	}
	return pool.ModeMount, nil
}
