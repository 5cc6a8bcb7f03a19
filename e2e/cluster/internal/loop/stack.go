package loop

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// StandingOn returns the devices that stand on a file, directly or through
// others: on a pool, its own device, those of the volumes in it, and those
// that a kubelet puts on block volumes. Each device knows the identity of what
// is behind it, which leads from one to the next even where no path does any
// more. A device comes after those that it stands on.
func StandingOn(path string) ([]Device, error) {
	file, err := Identify(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	attached, err := List()
	if err != nil {
		return nil, err
	}
	var found []Device
	known := map[int]bool{}
	for grew := true; grew; {
		grew = false
		for _, device := range attached {
			if !known[device.Number] && device.standsOn(file, found) {
				known[device.Number] = true
				found = append(found, device.Device)
				grew = true
			}
		}
	}
	return found, nil
}

// Orphans returns the devices on fronts whose image's file system is gone with
// the loop device that it was on. Nothing of such a device leads to the pool
// that it belonged to, and it is of no use to anybody.
func Orphans() ([]Device, error) {
	attached, err := List()
	if err != nil {
		return nil, err
	}
	there := map[uint64]bool{}
	for _, device := range attached {
		there[deviceID(device.Number)] = true
	}
	var found []Device
	for _, device := range attached {
		onLoop := unix.Major(device.Backing.Device) == loopMajor
		if device.Front != 0 && onLoop && !there[device.Backing.Device] {
			found = append(found, device.Device)
		}
	}
	return found, nil
}

func (a Attached) standsOn(file FileID, others []Device) bool {
	if a.Backing == file {
		return true
	}
	for _, other := range others {
		if id := deviceID(other.Number); a.Backing.Device == id || a.BackingDevice == id {
			return true
		}
	}
	return false
}

// StillAttached returns those of the devices that are attached to what they
// were attached to: numbers are reused.
func StillAttached(devices []Device) ([]Device, error) {
	attached, err := List()
	if err != nil {
		return nil, err
	}
	var still []Device
	for _, device := range devices {
		for _, now := range attached {
			if now.Number == device.Number && now.Backing == device.Backing && now.Front == device.Front {
				still = append(still, device)
			}
		}
	}
	return still, nil
}

// DetachAll detaches devices, if they still are what they were, from the last
// to the first.
func DetachAll(devices []Device) error {
	still, err := StillAttached(devices)
	if err != nil {
		return err
	}
	var failed []error
	for i := len(still) - 1; i >= 0; i-- {
		failed = append(failed, Detach(still[i].Number))
	}
	return errors.Join(failed...)
}

// deviceID is the device number of the loop device with the given number.
func deviceID(number int) uint64 { return unix.Mkdev(loopMajor, uint32(number)) }
