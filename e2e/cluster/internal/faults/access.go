package faults

import "fmt"

// Transfer is the direction of an access to a device.
type Transfer string

const (
	// Reading is a read.
	Reading Transfer = "read"
	// Writing is a write, a discard or a write of zeros.
	Writing Transfer = "write"

	bothTransfers = "both"
	everyVolume   = "*"
)

// Access is what somebody wants of a volume's device.
type Access struct {
	Volume         string
	Kind           Transfer
	Offset, Length int64
}

// rangeError is a range of volumes whose accesses fail with an I/O error.
type rangeError struct {
	// Volume is a handle, or * for all that can fail so.
	Volume string `json:"volume"`
	// From is the first byte, To the one behind the last; the volume's end
	// where it is absent.
	From int64  `json:"from"`
	To   *int64 `json:"to"`
	// On is read, write or both; both where it is absent.
	On string `json:"on"`
}

// Refuses tells whether an access is to fail with an I/O error. An access that
// only touches a range fails whole, as with a disk.
func (s *Source) Refuses(access Access) (bool, error) {
	control, _, err := s.read()
	if err != nil {
		return false, err
	}
	for _, r := range control.EIO {
		if err := r.check(); err != nil {
			return false, err
		}
		if r.covers(access) {
			return true, nil
		}
	}
	return false, nil
}

func (r rangeError) covers(access Access) bool {
	return (r.Volume == everyVolume || r.Volume == access.Volume) &&
		(r.On == "" || r.On == bothTransfers || r.On == string(access.Kind)) &&
		access.Offset+access.Length > r.From && (r.To == nil || access.Offset < *r.To)
}

func (r rangeError) check() error {
	switch {
	case r.Volume == "":
		return fmt.Errorf("fault switch eio: volume is required: a handle, or %q", everyVolume)
	case r.From < 0 || (r.To != nil && *r.To <= r.From):
		return fmt.Errorf("fault switch eio: from must not be negative, and to must be larger")
	}
	switch r.On {
	case "", bothTransfers, string(Reading), string(Writing):
		return nil
	}
	return fmt.Errorf("fault switch eio: on is %q; it is %q, %q or %q", r.On, Reading, Writing, bothTransfers)
}
