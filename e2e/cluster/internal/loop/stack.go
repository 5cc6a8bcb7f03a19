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
func StandingOn(path string) ([]int, error) {
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
	var found []int
	known := map[int]bool{}
	for grew := true; grew; {
		grew = false
		for _, device := range attached {
			if !known[device.Number] && device.standsOn(file, found) {
				known[device.Number] = true
				found = append(found, device.Number)
				grew = true
			}
		}
	}
	return found, nil
}

func (a Attached) standsOn(file FileID, others []int) bool {
	if a.Backing == file {
		return true
	}
	for _, number := range others {
		if id := deviceID(number); a.Backing.Device == id || a.BackingDevice == id {
			return true
		}
	}
	return false
}

// DetachAll detaches devices from the last to the first.
func DetachAll(numbers []int) error {
	var failed []error
	for i := len(numbers) - 1; i >= 0; i-- {
		failed = append(failed, Detach(numbers[i]))
	}
	return errors.Join(failed...)
}

// deviceID is the device number of the loop device with the given number.
func deviceID(number int) uint64 { return unix.Mkdev(loopMajor, uint32(number)) }
