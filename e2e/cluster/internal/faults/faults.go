// Package faults holds the switches by which a test makes the driver misbehave
// in the ways that real drivers do.
//
// A switch comes from a control file, read again on each call so that a test
// can turn it while the driver runs, or from the parameters of a volume's
// storage class. The control file wins where both say something.
package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// The values of the snapshotMetadata switch.
const (
	MetadataOn            = "on"
	MetadataOff           = "off"
	MetadataBlockOnly     = "block-only"
	MetadataFailMidstream = "fail-midstream"
)

// All is the value of failSnapshots by which every call fails.
const All = -1

// Switches is what the control file and the class parameters can say.
type Switches struct {
	// SnapshotDelay is how long a snapshot stays not ready after its cut.
	SnapshotDelay time.Duration
	// FailSnapshots is how many CreateSnapshot calls fail from now on.
	FailSnapshots int
	// StallSnapshots makes CreateSnapshot unavailable until it is taken back.
	StallSnapshots bool
	// SnapshotMetadata is one of the Metadata values.
	SnapshotMetadata string
	// FaultDevice is set for a volume whose device can fail with I/O errors.
	FaultDevice bool
}

// file is the control file's form; absent fields leave a switch as it is.
type file struct {
	SnapshotDelay    *string      `json:"snapshotDelay"`
	FailSnapshots    any          `json:"failSnapshots"`
	StallSnapshots   *bool        `json:"stall"`
	SnapshotMetadata *string      `json:"snapshotMetadata"`
	EIO              []rangeError `json:"eio"`
}

// Source reads switches and counts the failures that they have caused.
type Source struct {
	path string

	mu sync.Mutex
	// failed counts failures by what ordered them: one writing of the control
	// file, or the class parameter as it stands on one volume.
	failed map[string]int
}

// NewSource returns a source that reads the control file at path. The file
// need not exist.
func NewSource(path string) *Source {
	return &Source{path: path, failed: map[string]int{}}
}

// Path is where the control file is.
func (s *Source) Path() string { return s.path }

// For returns the switches that hold for a volume with these class parameters.
func (s *Source) For(parameters map[string]string) (Switches, error) {
	switches, err := FromParameters(parameters)
	if err != nil {
		return Switches{}, err
	}
	control, _, err := s.read()
	if err != nil {
		return Switches{}, err
	}
	return switches, control.apply(&switches)
}

// SnapshotFails tells whether this CreateSnapshot call is one that is to fail,
// and counts it if so.
func (s *Source) SnapshotFails(volume string, parameters map[string]string) (bool, error) {
	switches, err := s.For(parameters)
	if err != nil || switches.FailSnapshots == 0 {
		return false, err
	}
	control, version, err := s.read()
	if err != nil {
		return false, err
	}
	order := "volume " + volume
	if control.FailSnapshots != nil {
		order = "file " + version
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if switches.FailSnapshots != All && s.failed[order] >= switches.FailSnapshots {
		return false, nil
	}
	s.failed[order]++
	return true, nil
}

// FromParameters reads the switches among the parameters of a storage class.
func FromParameters(parameters map[string]string) (Switches, error) {
	switches := Switches{SnapshotMetadata: MetadataOn}
	var control file
	if text, ok := parameters["snapshotDelay"]; ok {
		control.SnapshotDelay = &text
	}
	if text, ok := parameters["failSnapshots"]; ok {
		control.FailSnapshots = text
	}
	if text, ok := parameters["snapshotMetadata"]; ok {
		control.SnapshotMetadata = &text
	}
	if text, ok := parameters["faultDevice"]; ok {
		wanted, err := strconv.ParseBool(text)
		if err != nil {
			return Switches{}, fmt.Errorf("parameter faultDevice: %q is neither true nor false", text)
		}
		switches.FaultDevice = wanted
	}
	return switches, control.apply(&switches)
}

// Check tells what is wrong with the text of a control file: a switch that
// doesn't exist, or a value that it doesn't take.
func Check(text []byte) error {
	var control file
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&control); err != nil {
		return fmt.Errorf("fault switches: %w", err)
	}
	if decoder.More() {
		return errors.New("fault switches: there is something behind the object")
	}
	return control.apply(&Switches{})
}

// read returns the control file and a mark that changes with each writing.
func (s *Source) read() (file, string, error) {
	var control file
	text, err := os.ReadFile(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return control, "", nil
	}
	if err != nil {
		return control, "", fmt.Errorf("read fault switches: %w", err)
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return control, "", fmt.Errorf("read fault switches: %w", err)
	}
	if err := json.Unmarshal(text, &control); err != nil {
		return control, "", fmt.Errorf("read fault switches %s: %w", s.path, err)
	}
	return control, info.ModTime().Format(time.RFC3339Nano), nil
}

func (f file) apply(switches *Switches) error {
	if f.SnapshotDelay != nil {
		delay, err := time.ParseDuration(*f.SnapshotDelay)
		if err != nil {
			return fmt.Errorf("fault switch snapshotDelay: %w", err)
		}
		switches.SnapshotDelay = delay
	}
	if f.FailSnapshots != nil {
		count, err := failCount(f.FailSnapshots)
		if err != nil {
			return err
		}
		switches.FailSnapshots = count
	}
	if f.StallSnapshots != nil {
		switches.StallSnapshots = *f.StallSnapshots
	}
	if f.SnapshotMetadata != nil {
		if err := checkMetadata(*f.SnapshotMetadata); err != nil {
			return err
		}
		switches.SnapshotMetadata = *f.SnapshotMetadata
	}
	for _, r := range f.EIO {
		if err := r.check(); err != nil {
			return err
		}
	}
	return nil
}

// failCount reads a count given as a number, as a number in quotes (the only
// form a storage class has) or as "all".
func failCount(value any) (int, error) {
	switch v := value.(type) {
	case float64:
		if v >= 0 && v == float64(int(v)) {
			return int(v), nil
		}
	case string:
		if v == "all" {
			return All, nil
		}
		if count, err := strconv.Atoi(v); err == nil && count >= 0 {
			return count, nil
		}
	}
	return 0, fmt.Errorf("fault switch failSnapshots: %v is neither a count nor \"all\"", value)
}

func checkMetadata(value string) error {
	switch value {
	case MetadataOn, MetadataOff, MetadataBlockOnly, MetadataFailMidstream:
		return nil
	}
	return fmt.Errorf("fault switch snapshotMetadata: %q is none of on, off, block-only, fail-midstream", value)
}
