package pool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Format says how far a volume's file system is made. Only a volume that was
// never written and is Blank or Formatting may be formatted.
type Format string

const (
	// Blank is a volume made empty, that nothing was put on by this driver.
	Blank Format = "blank"
	// Formatting is a volume whose formatting began and isn't known to have
	// ended; it holds no user data, so formatting it again is safe.
	Formatting Format = "formatting"
	// Given is a volume whose content came from elsewhere or is complete: a
	// restored snapshot, a clone, a formatted volume. It is never formatted.
	Given Format = "given"
)

// Mode is how a volume is handed to a pod.
type Mode string

const (
	// ModeBlock is a raw device.
	ModeBlock Mode = "block"
	// ModeMount is a mounted file system.
	ModeMount Mode = "mount"
)

// Volume is the record of one volume.
type Volume struct {
	Handle  string
	Name    string
	Size    int64
	Created time.Time
	Format  Format
	// Mode is how the volume was last published, or is meant to be where it
	// never was.
	Mode Mode
	// GrowFileSystem is set where the image may be larger than the file system
	// on it: it grew, or a smaller snapshot was restored into it.
	GrowFileSystem bool
	// FromSnapshot and FromVolume name what the volume was made from.
	FromSnapshot string `json:",omitempty"`
	FromVolume   string `json:",omitempty"`
	// Parameters are those of its storage class.
	Parameters map[string]string `json:",omitempty"`
}

// AddVolume makes a volume. source is the image to begin with, or empty.
func (p *Pool) AddVolume(volume Volume, source string) error {
	err := addDirectory(p.volumes(), volume.Handle, volume, func(image string) error {
		return makeImage(image, source, volume.Size)
	})
	if err != nil {
		return fmt.Errorf("add volume %s: %w", volume.Handle, err)
	}
	return nil
}

// Volume returns a volume's record.
func (p *Pool) Volume(handle string) (Volume, error) {
	var volume Volume
	if err := readRecord(p.volumes(), handle, &volume); err != nil {
		return Volume{}, fmt.Errorf("volume %q: %w", handle, err)
	}
	return volume, nil
}

// Volumes returns all volumes in the order of their handles.
func (p *Pool) Volumes() ([]Volume, error) {
	names, err := handles(p.volumes())
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	var found []Volume
	for _, name := range names {
		volume, err := p.Volume(name)
		if errors.Is(err, ErrNotFound) {
			continue // removed since it was listed
		}
		if err != nil {
			return nil, err
		}
		found = append(found, volume)
	}
	return found, nil
}

// UpdateVolume replaces the record of a volume.
func (p *Pool) UpdateVolume(volume Volume) error {
	directory, err := place(p.volumes(), volume.Handle)
	if err != nil {
		return err
	}
	if err := writeRecord(directory, volume); err != nil {
		return fmt.Errorf("update volume %s: %w", volume.Handle, err)
	}
	return nil
}

// GrowVolume makes a volume's image larger and records it.
func (p *Pool) GrowVolume(volume Volume, size int64) error {
	if err := os.Truncate(p.VolumeImage(volume.Handle), size); err != nil {
		return fmt.Errorf("grow volume %s: %w", volume.Handle, err)
	}
	volume.Size = size
	return p.UpdateVolume(volume)
}

// RemoveVolume removes a volume if it is there.
func (p *Pool) RemoveVolume(handle string) error {
	if err := removeDirectory(p.volumes(), handle); err != nil {
		return fmt.Errorf("remove volume %s: %w", handle, err)
	}
	return nil
}

// VolumeImage is the path of a volume's bytes.
func (p *Pool) VolumeImage(handle string) string {
	return filepath.Join(p.volumes(), handle, imageName)
}
