package pool

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Snapshot is the record of one snapshot. Its image is never written again.
type Snapshot struct {
	Handle  string
	Name    string
	Volume  string
	Size    int64
	Created time.Time
	// Mode is how the volume was published when the snapshot was made.
	Mode Mode
	// Format is the volume's at that instant; a restored volume takes it over
	// as Given.
	Format Format
	// GrowFileSystem is the volume's at that instant.
	GrowFileSystem bool
	// ReadyAt is when the snapshot is first reported ready.
	ReadyAt time.Time
	// Parameters are those of the volume's storage class.
	Parameters map[string]string `json:",omitempty"`
}

// AddSnapshot copies a volume's image, by sharing its blocks, into a snapshot.
// The caller sees to it that the image is at rest.
func (p *Pool) AddSnapshot(snapshot Snapshot) error {
	err := addDirectory(p.snapshots(), snapshot.Handle, snapshot, func(image string) error {
		return makeImage(image, p.VolumeImage(snapshot.Volume), snapshot.Size)
	})
	if err != nil {
		return fmt.Errorf("add snapshot %s: %w", snapshot.Handle, err)
	}
	return nil
}

// Snapshot returns a snapshot's record.
func (p *Pool) Snapshot(handle string) (Snapshot, error) {
	var snapshot Snapshot
	if err := readRecord(p.snapshots(), handle, &snapshot); err != nil {
		return Snapshot{}, fmt.Errorf("snapshot %q: %w", handle, err)
	}
	return snapshot, nil
}

// Snapshots returns all snapshots in the order of their handles.
func (p *Pool) Snapshots() ([]Snapshot, error) {
	names, err := handles(p.snapshots())
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var found []Snapshot
	for _, name := range names {
		snapshot, err := p.Snapshot(name)
		if errors.Is(err, ErrNotFound) {
			continue // removed since it was listed
		}
		if err != nil {
			return nil, err
		}
		found = append(found, snapshot)
	}
	return found, nil
}

// RemoveSnapshot removes a snapshot if it is there.
func (p *Pool) RemoveSnapshot(handle string) error {
	if err := removeDirectory(p.snapshots(), handle); err != nil {
		return fmt.Errorf("remove snapshot %s: %w", handle, err)
	}
	return nil
}

// SnapshotImage is the path of a snapshot's bytes.
func (p *Pool) SnapshotImage(handle string) string {
	return filepath.Join(p.snapshots(), handle, imageName)
}
