package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"ferry.dev/e2e/cluster/internal/faults"
	"ferry.dev/e2e/cluster/internal/pool"
)

// faulty are the parameters of a class whose devices can be made to fail.
var faulty = map[string]string{"faultDevice": "true"}

// piece is the unit of the accesses below.
const piece = 64 << 10

// faultyDevice publishes a block volume full of random bytes, and opens it past
// the page cache.
func (r *rig) faultyDevice() (handle string, device *os.File, content []byte) {
	r.Helper()
	handle = r.create(pool.ModeBlock, 8*mib, faulty)
	content = make([]byte, 8*mib)
	rand.New(rand.NewSource(3)).Read(content)
	path := r.publish(handle, pool.ModeBlock, false)
	r.writeDevice(path, content)
	device, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT, 0)
	r.must(err)
	return handle, device, content
}

func readPiece(device *os.File, offset int64) ([]byte, error) {
	buffer := aligned(piece)
	_, err := device.ReadAt(buffer, offset)
	return buffer, err
}

func writePiece(device *os.File, offset int64, value byte) error {
	buffer := aligned(piece)
	copy(buffer, bytes.Repeat([]byte{value}, piece))
	_, err := device.WriteAt(buffer, offset)
	return err
}

func discardPiece(device *os.File, offset int64, ioctl uintptr) error {
	area := [2]uint64{uint64(offset), piece}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, device.Fd(), ioctl, uintptr(unsafe.Pointer(&area))); errno != 0 {
		return errno
	}
	return nil
}

func (r *rig) wantEIO(what string, err error) {
	r.Helper()
	if !errors.Is(err, unix.EIO) {
		r.Errorf("%s: got %v, want an I/O error", what, err)
	}
}

func (r *rig) wantOK(what string, err error) {
	r.Helper()
	if err != nil {
		r.Errorf("%s: %v", what, err)
	}
}

func (r *rig) eio(volume, on string, from, to int64) {
	r.Helper()
	r.fault(fmt.Sprintf(`{"eio": [{"volume": %q, "from": %d, "to": %d, "on": %q}]}`, volume, from, to, on))
}

func TestReadsFailInARange(t *testing.T) {
	r := newRig(t)
	handle, device, content := r.faultyDevice()
	defer r.unpublish(handle)
	defer device.Close()
	r.eio(handle, "read", 2*piece+512, 3*piece)
	_, err := readPiece(device, 2*piece)
	r.wantEIO("read of the range", err)
	for _, offset := range []int64{piece, 3 * piece} {
		got, err := readPiece(device, offset)
		r.wantOK("read beside the range", err)
		if !bytes.Equal(got, content[offset:offset+piece]) {
			r.Errorf("the bytes at %d are others", offset)
		}
	}
	r.wantOK("write of the range", writePiece(device, 2*piece, 7))
	r.eio("vol-another", "both", 0, 8*mib)
	got, err := readPiece(device, 2*piece)
	r.wantOK("read while another volume fails", err)
	if !bytes.Equal(got, bytes.Repeat([]byte{7}, piece)) {
		r.Error("what was written while reads failed is not there")
	}
	r.fault(`nonsense`)
	_, err = readPiece(device, 0)
	r.wantEIO("read with switches that can't be read", err)
	r.fault(`{}`)
	_, err = readPiece(device, 0)
	r.wantOK("read with the switch taken back", err)
}

func TestWritesFailInARange(t *testing.T) {
	r := newRig(t)
	handle, device, content := r.faultyDevice()
	defer r.unpublish(handle)
	defer device.Close()
	r.eio("*", "write", 5*piece, 5*piece+1)
	r.wantEIO("write", writePiece(device, 5*piece, 1))
	r.wantEIO("discard", discardPiece(device, 5*piece, discardIoctl))
	r.wantEIO("write of zeros", discardPiece(device, 5*piece, zeroIoctl))
	// Through the page cache the error comes with the flush, as from a disk.
	cached, err := os.OpenFile(r.target(handle), os.O_RDWR, 0)
	r.must(err)
	_, err = cached.WriteAt(bytes.Repeat([]byte{2}, block), 5*piece)
	r.wantOK("write into the page cache", err)
	r.wantEIO("flush", cached.Sync())
	cached.Close()
	image, err := os.ReadFile(r.driver.pool.VolumeImage(handle))
	if err != nil || !bytes.Equal(image, content) {
		r.Errorf("a write that failed is in the image (%v)", err)
	}
	r.wantOK("write beside the range", writePiece(device, 6*piece, 3))
	r.wantOK("discard beside the range", discardPiece(device, 4*piece, discardIoctl))
	got, err := readPiece(device, 5*piece)
	r.wantOK("read of the range", err)
	if !bytes.Equal(got, content[5*piece:6*piece]) {
		r.Error("the range reads as something else than before")
	}
	r.fault(`{}`)
	r.wantOK("write with the switch taken back", writePiece(device, 5*piece, 1))
}

// A snapshot restored with such a class fails to be read too, also through the
// read-only device that a mover gets.
func TestRestoredSnapshotFails(t *testing.T) {
	r := newRig(t)
	handle, device, content := r.faultyDevice()
	device.Close()
	response, err := r.driver.CreateVolume(context.Background(), &csi.CreateVolumeRequest{
		Name: r.name(), Parameters: faulty, CapacityRange: &csi.CapacityRange{RequiredBytes: 8 * mib},
		VolumeCapabilities: []*csi.VolumeCapability{capability(pool.ModeBlock, "")},
		VolumeContentSource: &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
			Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: r.snapshot(handle)},
		}},
	})
	r.must(err)
	r.unpublish(handle)
	restored := response.GetVolume().GetVolumeId()
	reader, err := os.OpenFile(r.publish(restored, pool.ModeBlock, true), os.O_RDONLY|unix.O_DIRECT, 0)
	r.must(err)
	r.eio(restored, "both", 0, piece)
	_, err = readPiece(reader, 0)
	r.wantEIO("read of the range", err)
	got, err := readPiece(reader, piece)
	r.wantOK("read beside the range", err)
	if !bytes.Equal(got, content[piece:2*piece]) {
		r.Error("the restored bytes are others")
	}
	reader.Close()
	r.unpublish(restored)
	r.wantGone(restored)
}

// Without switches such a volume is a volume: file systems, their snapshots
// under load, and what a cut has.
func TestFaultyVolumeHoldsAFileSystem(t *testing.T) {
	r := newRig(t)
	handle := r.create(pool.ModeMount, 64*mib, faulty)
	path := r.publish(handle, pool.ModeMount, false)
	r.must(os.WriteFile(path+"/file", bytes.Repeat([]byte("kept"), mib/4), 0o644))
	snapshot := r.snapshot(handle)
	r.must(os.WriteFile(path+"/file", []byte("after the cut"), 0o644))
	r.unpublish(handle)
	r.wantGone(handle)
	path = r.publish(handle, pool.ModeMount, false)
	r.wantFile(path+"/file", "after the cut")
	r.unpublish(handle)
	restored := r.restore(snapshot, pool.ModeMount, 64*mib)
	path = r.publish(restored, pool.ModeMount, false)
	r.wantFile(path+"/file", strings.Repeat("kept", mib/4))
	r.unpublish(restored)
	_, err := r.driver.ControllerExpandVolume(context.Background(), &csi.ControllerExpandVolumeRequest{
		VolumeId: handle, CapacityRange: &csi.CapacityRange{RequiredBytes: 128 * mib},
	})
	r.wantCode("growing it", err, codes.FailedPrecondition)
}

// A process behind a device that is killed takes the device with it and nothing
// else: nobody hangs, and the volume is published anew with all that was flushed.
func TestProcessBehindIsKilled(t *testing.T) {
	r := newRig(t)
	handle, device, content := r.faultyDevice()
	for _, pid := range r.behind(handle) {
		r.must(unix.Kill(pid, unix.SIGKILL))
	}
	r.wantGone(handle)
	_, err := readPiece(device, 0)
	r.wantEIO("read", err)
	device.Close()
	r.unpublish(handle)
	got, err := os.ReadFile(r.publish(handle, pool.ModeBlock, false))
	if err != nil || !bytes.Equal(got, content) {
		r.Errorf("published anew: %v, or other bytes", err)
	}
	r.unpublish(handle)
}

// A driver that starts anew takes no such device over, and a staged volume is
// staged anew.
func TestRestartedDriverDropsFaultyDevices(t *testing.T) {
	r := newRig(t)
	handle := r.create(pool.ModeBlock, mib, faulty)
	plain := r.create(pool.ModeBlock, mib, nil)
	r.publish(handle, pool.ModeBlock, false)
	r.publish(plain, pool.ModeBlock, false)
	again, err := New(r.driver.config, r.driver.pool, faults.NewSource(filepath.Join(r.folder, "faults.json")))
	r.must(err)
	r.driver = again
	r.wantGone(handle)
	r.device(plain)
	r.unpublish(handle)
	r.writeDevice(r.publish(handle, pool.ModeBlock, false), []byte("staged anew"))
	r.unpublish(handle)
	r.unpublish(plain)
}

// behind are the processes behind the devices of a volume.
func (r *rig) behind(handle string) []int {
	r.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	r.must(err)
	var found []int
	for _, line := range lines {
		text, err := os.ReadFile(line)
		words := strings.Split(string(text), "\x00")
		if err != nil || len(words) < 2 || words[0] != "reflink-fault-file" || words[1] != handle {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(line)))
		r.must(err)
		found = append(found, pid)
	}
	return found
}

// wantGone waits a little for the processes behind a volume's devices to end.
func (r *rig) wantGone(handle string) {
	r.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for left := r.behind(handle); len(left) > 0; left = r.behind(handle) {
		if time.Now().After(deadline) {
			r.Fatalf("the processes behind volume %s are still there: %v", handle, left)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
