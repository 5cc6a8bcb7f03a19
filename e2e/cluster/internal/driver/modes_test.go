package driver

import (
	"bytes"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"ferry.dev/e2e/cluster/internal/pool"
)

// ext4Image makes an ext4 with one file in it.
func (r *rig) ext4Image(size int64, name, text string) []byte {
	r.Helper()
	folder := r.TempDir()
	r.must(os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644))
	image := filepath.Join(r.TempDir(), "image")
	r.run("truncate", "-s", exact(size), image)
	r.run("mkfs.ext4", "-q", "-F", "-d", folder, image)
	content, err := os.ReadFile(image)
	r.must(err)
	return content
}

func (r *rig) run(command ...string) string {
	r.Helper()
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		r.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

func (r *rig) writeDevice(path string, content []byte) {
	r.Helper()
	device, err := os.OpenFile(path, os.O_WRONLY, 0)
	r.must(err)
	_, err = device.Write(content)
	r.must(err)
	r.must(device.Sync())
	r.must(device.Close())
}

func (r *rig) wantFile(path, want string) {
	r.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		r.Errorf("%s: got %q, %v; want %q", path, got, err, want)
	}
}

// wantOnDevice reads a file out of an ext4 that isn't mounted.
func (r *rig) wantOnDevice(device, name, want string) {
	r.Helper()
	out, err := exec.Command("debugfs", "-R", "cat /"+name, device).Output()
	if err != nil || string(out) != want {
		r.Errorf("/%s on %s: got %q, %v; want %q", name, device, out, err, want)
	}
}

// One handle as block, as file system, and back: what one writes the other
// sees, and nothing is formatted on the way.
func TestOneHandleInBothModes(t *testing.T) {
	r := newRig(t)
	handle := r.create(pool.ModeBlock, 32*mib, nil)
	r.writeDevice(r.publish(handle, pool.ModeBlock, false), r.ext4Image(32*mib, "first", "by the image"))
	r.unpublish(handle)

	path := r.publish(handle, pool.ModeMount, false)
	r.wantFile(path+"/first", "by the image")
	r.must(os.WriteFile(path+"/second", []byte("by the file system"), 0o644))
	r.unpublish(handle)

	path = r.publish(handle, pool.ModeBlock, false)
	r.wantOnDevice(path, "first", "by the image")
	r.wantOnDevice(path, "second", "by the file system")
	// Another image over the first: the mount after it must not show what
	// the kernel remembers of the one before.
	r.writeDevice(path, r.ext4Image(32*mib, "third", "by another image"))
	r.unpublish(handle)

	path = r.publish(handle, pool.ModeMount, false)
	r.wantFile(path+"/third", "by another image")
	if _, err := os.Stat(path + "/first"); err == nil {
		r.Error("the file of the overwritten image is still to be seen")
	}
	r.unpublish(handle)
}

func TestForeignDataIsNeverFormatted(t *testing.T) {
	r := newRig(t)
	handle := r.create(pool.ModeBlock, 16*mib, nil)
	content := make([]byte, 16*mib)
	rand.New(rand.NewSource(1)).Read(content)
	r.writeDevice(r.publish(handle, pool.ModeBlock, false), content)
	r.unpublish(handle)
	r.wantCode("file system on foreign data", r.stage(handle, pool.ModeMount, ""), codes.FailedPrecondition)
	r.unstage(handle)
	image, err := os.ReadFile(r.driver.pool.VolumeImage(handle))
	if err != nil || !bytes.Equal(image, content) {
		r.Errorf("the data changed, or can't be read: %v", err)
	}
}

func TestFileSystemSnapshotAsReadOnlyBlock(t *testing.T) {
	r := newRig(t)
	source := r.create(pool.ModeMount, 32*mib, nil)
	path := r.publish(source, pool.ModeMount, false)
	r.must(os.WriteFile(path+"/file", []byte("before the cut"), 0o644))
	// Not flushed by the application: the driver has to.
	snapshot := r.snapshot(source)
	r.must(os.WriteFile(path+"/file", []byte("after the cut"), 0o644))

	restored := r.restore(snapshot, pool.ModeBlock, 32*mib)
	device := r.publish(restored, pool.ModeBlock, true)
	r.wantOnDevice(device, "file", "before the cut")
	content, err := os.ReadFile(device)
	if err != nil || !bytes.Equal(content, r.bytes(snapshot)) {
		r.Errorf("the device differs from the snapshot (%v)", err)
	}
	if file, err := os.OpenFile(device, os.O_WRONLY, 0); err == nil {
		_, err = file.Write([]byte("x"))
		if err == nil {
			err = file.Sync()
		}
		file.Close()
		if err == nil {
			r.Error("a read-only device took a write")
		}
	}
	r.unpublish(restored)
	r.unpublish(source)
}

// Writes through a block publication are in a snapshot cut right after the
// application's fsync, whichever way they went.
func TestSnapshotAfterFsyncHasTheWrites(t *testing.T) {
	r := newRig(t)
	handle := r.create(pool.ModeBlock, 8*mib, nil)
	path := r.publish(handle, pool.ModeBlock, false)
	random := rand.New(rand.NewSource(2))
	want := make([]byte, 8*mib)
	for round := range 20 {
		flags := os.O_RDWR
		if round%2 == 1 {
			flags |= unix.O_DIRECT
		}
		device, err := os.OpenFile(path, flags, 0)
		r.must(err)
		buffer := aligned(64 << 10)
		random.Read(buffer)
		offset := random.Int63n(8*mib/(64<<10)) * (64 << 10)
		_, err = device.WriteAt(buffer, offset)
		r.must(err)
		copy(want[offset:], buffer)
		r.must(device.Sync())
		snapshot := r.snapshot(handle)
		if !bytes.Equal(r.bytes(snapshot), want) {
			r.Fatalf("round %d: the snapshot lacks a write at %d", round, offset)
		}
		device.Close()
	}
	dio, err := os.ReadFile("/sys/block/" + filepath.Base(r.device(handle).Path()) + "/loop/dio")
	if err != nil || strings.TrimSpace(string(dio)) != "1" {
		r.Errorf("the device is not on direct I/O: %q, %v", dio, err)
	}
	r.unpublish(handle)
}

// aligned returns a buffer as direct I/O wants it.
func aligned(size int) []byte {
	raw := make([]byte, size+block)
	skip := block - int(uintptr(unsafe.Pointer(&raw[0]))%block)
	return raw[skip : skip+size]
}

// A device that is on its way out, because somebody else still has it open,
// must not be taken for the volume's: it would vanish under the next pod.
func TestStageWaitsForADeviceThatIsLeaving(t *testing.T) {
	r := newRig(t)
	handle := r.create(pool.ModeBlock, mib, nil)
	r.publish(handle, pool.ModeBlock, false)
	other, err := os.Open(r.device(handle).Path())
	r.must(err)
	r.unpublish(handle)
	go func() {
		time.Sleep(300 * time.Millisecond)
		other.Close()
	}()
	path := r.publish(handle, pool.ModeBlock, false)
	time.Sleep(500 * time.Millisecond)
	r.writeDevice(path, []byte("still there"))
	r.unpublish(handle)
}
