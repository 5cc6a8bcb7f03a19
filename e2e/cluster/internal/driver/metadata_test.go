package driver

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"testing"
	"unsafe"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"ferry.dev/e2e/cluster/internal/extents"
	"ferry.dev/e2e/cluster/internal/pool"
)

const (
	// block is the unit in which the pool's file system shares data.
	block = 4096

	seeds          = 60
	roundsPerSeed  = 3
	changesInRound = 12
	// faultyEvery is how often a volume's device is one with fault switches:
	// while they are off nothing of it may differ.
	faultyEvery = 6

	discardIoctl = 0x1277 // BLKDISCARD
	zeroIoctl    = 0x127f // BLKZEROOUT
)

// TestMetadataAgainstBytes changes volumes at random and holds what the driver
// says about their snapshots against the snapshots' bytes.
func TestMetadataAgainstBytes(t *testing.T) {
	r := newRig(t)
	for seed := range int64(seeds) {
		if !t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			history := newHistory(t, r, seed)
			defer history.close()
			for range roundsPerSeed {
				history.change()
				history.cut()
			}
			history.check()
		}) {
			t.Fatalf("repeat with this seed: %d", seed)
		}
	}
}

// history is a volume, what was done to it, and its snapshots.
type history struct {
	*testing.T
	rig    *rig
	random *rand.Rand
	handle string
	device *os.File
	size   int64
	grows  bool
	cuts   []cut
	// touched are the blocks written or discarded since the last cut.
	touched map[int64]bool
}

// cut is a snapshot, with the blocks touched since the one before.
type cut struct {
	snapshot string
	touched  map[int64]bool
}

// newHistory makes a volume whose size is no multiple of a block.
func newHistory(t *testing.T, r *rig, seed int64) *history {
	random := rand.New(rand.NewSource(seed))
	size := 1<<20 + random.Int63n(3<<20)/block*block + sector*(1+random.Int63n(block/sector-1))
	h := &history{T: t, rig: r, random: random, size: size, grows: true, touched: map[int64]bool{}}
	var parameters map[string]string
	if seed%faultyEvery == 0 {
		parameters, h.grows = faulty, false
	}
	h.handle = r.create(pool.ModeBlock, size, parameters)
	device, err := os.OpenFile(r.publish(h.handle, pool.ModeBlock, false), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	h.device = device
	return h
}

func (h *history) close() {
	h.device.Close()
	h.rig.unpublish(h.handle)
	for _, c := range h.cuts {
		if _, err := h.rig.driver.DeleteSnapshot(context.Background(), &csi.DeleteSnapshotRequest{SnapshotId: c.snapshot}); err != nil {
			h.Error(err)
		}
	}
	if _, err := h.rig.driver.DeleteVolume(context.Background(), &csi.DeleteVolumeRequest{VolumeId: h.handle}); err != nil {
		h.Error(err)
	}
}

// change makes a round of random changes, the last of them in the end of the
// volume, and sometimes lets the volume grow.
func (h *history) change() {
	if h.random.Intn(4) == 0 && h.grows {
		h.grow()
	}
	for range h.random.Intn(changesInRound) {
		length := 1 + h.random.Int63n(1<<uint(h.random.Intn(18)))
		h.changeOne(h.random.Int63n(h.size), length)
	}
	if h.random.Intn(2) == 0 {
		length := 1 + h.random.Int63n(3*block)
		h.changeOne(h.size-length, length)
	}
	if h.random.Intn(2) == 0 {
		// Otherwise the driver has to see to it that the kernel's cache is in
		// the snapshot.
		h.must(h.device.Sync())
	}
}

func (h *history) changeOne(offset, length int64) {
	length = min(length, h.size-offset)
	switch h.random.Intn(6) {
	case 0:
		h.write(offset, make([]byte, length))
	case 1:
		h.onSectors(discardIoctl, offset, length)
	case 2:
		h.onSectors(zeroIoctl, offset, length)
	case 3:
		// The same bytes again.
		same := make([]byte, length)
		_, err := h.device.ReadAt(same, offset)
		h.must(err)
		h.write(offset, same)
	default:
		data := make([]byte, length)
		h.random.Read(data)
		h.write(offset, data)
	}
}

func (h *history) write(offset int64, data []byte) {
	h.touch(offset, int64(len(data)))
	_, err := h.device.WriteAt(data, offset)
	h.must(err)
}

// onSectors discards or zeroes the whole sectors of a range.
func (h *history) onSectors(ioctl uintptr, offset, length int64) {
	start := offset / sector * sector
	area := [2]uint64{uint64(start), uint64(max(sector, (offset+length)/sector*sector-start))}
	h.touch(start, int64(area[1]))
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, h.device.Fd(), ioctl, uintptr(unsafe.Pointer(&area))); errno != 0 {
		h.Fatalf("ioctl %#x at %v of %d bytes: %v", ioctl, area, h.size, errno)
	}
}

func (h *history) touch(offset, length int64) {
	for b := offset / block; b <= (offset+length-1)/block; b++ {
		h.touched[b] = true
	}
}

// grow touches the block at the old end: the file system makes that block's
// rest zero, and gives it a place of its own to do so.
func (h *history) grow() {
	h.touch(h.size-1, 1)
	h.size += sector * (1 + h.random.Int63n(200))
	_, err := h.rig.driver.ControllerExpandVolume(context.Background(), &csi.ControllerExpandVolumeRequest{
		VolumeId: h.handle, CapacityRange: &csi.CapacityRange{RequiredBytes: h.size},
	})
	h.must(err)
	_, err = h.rig.driver.NodeExpandVolume(context.Background(), &csi.NodeExpandVolumeRequest{
		VolumeId: h.handle, VolumePath: h.rig.target(h.handle),
	})
	h.must(err)
}

func (h *history) cut() {
	h.cuts = append(h.cuts, cut{snapshot: h.rig.snapshot(h.handle), touched: h.touched})
	h.touched = map[int64]bool{}
}

func (h *history) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *history) check() {
	touched := map[int64]bool{}
	for i, target := range h.cuts {
		for b := range target.touched {
			touched[b] = true
		}
		after := h.rig.bytes(target.snapshot)
		h.checkList(fmt.Sprintf("allocated %d", i), make([]byte, len(after)), after, touched, func(p page) ([][]extents.Range, error) {
			return h.rig.allocated(target.snapshot, p)
		})
		since := map[int64]bool{}
		for j := i - 1; j >= 0; j-- {
			for b := range h.cuts[j+1].touched {
				since[b] = true
			}
			base := h.cuts[j].snapshot
			before := append(h.rig.bytes(base), make([]byte, len(after)-len(h.rig.bytes(base)))...)
			h.checkList(fmt.Sprintf("delta %d to %d", j, i), before, after, since, func(p page) ([][]extents.Range, error) {
				return h.rig.delta(base, target.snapshot, p)
			})
		}
	}
}

// checkList holds a list of ranges against the bytes that it is about.
func (h *history) checkList(what string, before, after []byte, touched map[int64]bool, ask func(page) ([][]extents.Range, error)) {
	messages, err := ask(page{})
	if err != nil {
		h.Fatalf("%s: %v", what, err)
	}
	ranges := joined(messages)
	checkOrder(h.T, what, ranges, int64(len(after)))
	position := int64(0)
	for _, r := range append(ranges, extents.Range{Offset: int64(len(after))}) {
		if !bytes.Equal(before[position:r.Offset], after[position:r.Offset]) {
			h.Fatalf("%s misses a change between %d and %d: %v", what, position, r.Offset, ranges)
		}
		position = r.End()
	}
	for _, r := range ranges {
		for b := r.Offset / block; b <= (r.End()-1)/block; b++ {
			if !touched[b] && !touched[b-1] && !touched[b+1] {
				h.Fatalf("%s lists block %d, which nobody touched, nor one beside it; size %d, list %v", what, b, len(after), ranges)
			}
		}
	}
	h.checkPages(what, ranges, int64(len(after)), ask)
}

func checkOrder(t *testing.T, what string, ranges []extents.Range, size int64) {
	t.Helper()
	position := int64(0)
	for _, r := range ranges {
		if r.Offset < position || r.Length <= 0 || r.End() > size {
			t.Fatalf("%s: range %v after %d in %d bytes: %v", what, r, position, size, ranges)
		}
		position = r.End()
	}
}

// checkPages breaks off after some messages and resumes where they ended, and
// begins in the middle: the same must come as in one go.
func (h *history) checkPages(what string, whole []extents.Range, size int64, ask func(page) ([][]extents.Range, error)) {
	limit := int32(1 + h.random.Intn(4))
	var got []extents.Range
	for offset := int64(0); ; {
		messages, err := ask(page{offset: offset, limit: limit})
		if err != nil {
			h.Fatalf("%s from %d: %v", what, offset, err)
		}
		if len(messages) == 0 {
			break
		}
		got = append(got, joined(messages[:1+h.random.Intn(len(messages))])...)
		offset = got[len(got)-1].End()
	}
	if fmt.Sprint(got) != fmt.Sprint(whole) {
		h.Fatalf("%s by pages of %d: %v, in one go %v", what, limit, got, whole)
	}
	offset := h.random.Int63n(size + 1)
	messages, err := ask(page{offset: offset})
	if err != nil {
		h.Fatalf("%s from %d: %v", what, offset, err)
	}
	if part := joined(messages); fmt.Sprint(part) != fmt.Sprint(from(whole, offset)) {
		h.Fatalf("%s from %d: %v, in one go %v", what, offset, part, whole)
	}
	_, err = ask(page{offset: size + 1})
	h.rig.wantCode(what+" beyond the end", err, codes.OutOfRange)
}
