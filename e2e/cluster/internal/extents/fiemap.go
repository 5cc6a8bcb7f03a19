// Package extents reads from the file system where the data of a file lies
// and derives from it which bytes of two files can differ.
package extents

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Extent is a run of a file that holds data. Holes and ranges that are
// reserved but were never written are no extents: both read as zeros.
type Extent struct {
	Offset int64
	Length int64
	// Physical is where the run lies on the device. Two files with the same
	// physical place for the same offset share that data.
	Physical int64
	// Known is false where the file system can't name a lasting place; such
	// a run is never taken to be shared.
	Known bool
}

// End is the offset behind the extent's last byte.
func (e Extent) End() int64 { return e.Offset + e.Length }

const (
	fiemapIoctl = 0xc020660b

	flagSync = 0x1

	extentLast      = 0x1
	extentUnknown   = 0x2
	extentDelalloc  = 0x4
	extentEncoded   = 0x8
	extentUnaligned = 0x100
	extentInline    = 0x200
	extentTail      = 0x400
	extentUnwritten = 0x800

	// placeless marks runs whose physical offset can't be compared.
	placeless = extentUnknown | extentDelalloc | extentEncoded | extentUnaligned | extentInline | extentTail

	batch = 1024
)

// rawExtent is struct fiemap_extent of linux/fiemap.h.
type rawExtent struct {
	logical, physical, length uint64
	_                         [2]uint64
	flags                     uint32
	_                         [3]uint32
}

// request is struct fiemap of linux/fiemap.h with room for a batch.
type request struct {
	start, length        uint64
	flags, mapped, count uint32
	_                    uint32
	extents              [batch]rawExtent
}

// Map returns the extents of a file in order, clipped to its size.
func Map(file *os.File) ([]Extent, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("map extents: %w", err)
	}
	size := info.Size()
	var found []Extent
	req := new(request)
	for start := int64(0); start < size; {
		*req = request{start: uint64(start), length: uint64(size - start), flags: flagSync, count: batch}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), fiemapIoctl, uintptr(unsafe.Pointer(req))); errno != 0 {
			return nil, fmt.Errorf("map extents of %s: %w", file.Name(), errno)
		}
		if req.mapped == 0 {
			break
		}
		last := false
		for _, raw := range req.extents[:req.mapped] {
			found = appendWritten(found, raw, size)
			start = int64(raw.logical + raw.length)
			last = raw.flags&extentLast != 0
		}
		if last {
			break
		}
	}
	return found, nil
}

func appendWritten(found []Extent, raw rawExtent, size int64) []Extent {
	if raw.flags&extentUnwritten != 0 || int64(raw.logical) >= size {
		return found
	}
	extent := Extent{
		Offset:   int64(raw.logical),
		Length:   int64(raw.length),
		Physical: int64(raw.physical),
		Known:    raw.flags&placeless == 0,
	}
	extent.Length = min(extent.Length, size-extent.Offset)
	return append(found, extent)
}
