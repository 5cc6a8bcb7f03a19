package driver

import (
	"ferry.dev/e2e/cluster/internal/faultfile"
	"ferry.dev/e2e/cluster/internal/faults"
	"ferry.dev/e2e/cluster/internal/loop"
	"ferry.dev/e2e/cluster/internal/pool"
)

// attach makes a device of a volume: one that can be made to fail where the
// volume's class asks for it, and a plain one otherwise.
func (d *Driver) attach(volume pool.Volume, readOnly bool) (loop.Device, error) {
	switches, err := faults.FromParameters(volume.Parameters)
	if err != nil {
		return loop.Device{}, err
	}
	image := d.pool.VolumeImage(volume.Handle)
	if !switches.FaultDevice {
		return loop.Attach(image, readOnly)
	}
	return faultfile.Attach(faultfile.File{
		Image: image, Volume: volume.Handle, Switches: d.faults.Path(), ReadOnly: readOnly,
	})
}

// dropFronts detaches the devices with fault switches that an earlier process
// attached: in a container, the processes behind them ended with it, and such a
// device can do nothing. Whoever still has one open sees I/O errors until it is
// published anew.
func (d *Driver) dropFronts(handle string) error {
	devices, err := loop.FindAll(d.pool.VolumeImage(handle))
	if err != nil {
		return err
	}
	for _, device := range devices {
		if device.Front == 0 {
			continue
		}
		if err := loop.Detach(device.Number); err != nil {
			return err
		}
	}
	return nil
}
