package driver

import (
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ferry.dev/e2e/cluster/internal/pool"
)

func exact(size int64) string { return strconv.FormatInt(size, 10) }

func (r *rig) expand(handle string, size int64) {
	r.Helper()
	_, err := r.driver.ControllerExpandVolume(context.Background(), &csi.ControllerExpandVolumeRequest{
		VolumeId: handle, CapacityRange: &csi.CapacityRange{RequiredBytes: size},
	})
	r.must(err)
}

func (r *rig) expandOnNode(handle string) error {
	_, err := r.driver.NodeExpandVolume(context.Background(), &csi.NodeExpandVolumeRequest{
		VolumeId: handle, VolumePath: r.target(handle),
	})
	return err
}

// wantRoom checks that a file system fills a volume but for its own tables.
func (r *rig) wantRoom(path string, size int64) {
	r.Helper()
	var stat unix.Statfs_t
	r.must(unix.Statfs(path, &stat))
	if total := int64(stat.Blocks) * stat.Bsize; total < size*8/10 {
		r.Errorf("the file system has %d bytes of the volume's %d", total, size)
	}
}

// Grown while no pod has it: the next pod finds it grown, without a step that
// the kernel could refuse.
func TestGrownWhileUnused(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t)
			handle := r.create(pool.ModeMount, 320*mib, nil)
			r.must(r.stage(handle, pool.ModeMount, kind))
			r.must(os.WriteFile(r.staging(handle)+"/file", []byte("kept"), 0o644))
			r.unstage(handle)
			r.expand(handle, 640*mib)
			path := r.publish(handle, pool.ModeMount, false)
			r.wantRoom(path, 640*mib)
			r.wantFile(path+"/file", "kept")
			r.must(r.expandOnNode(handle)) // the kubelet asks after each mount
			r.unpublish(handle)
		})
	}
}

// Grown while a pod has it: at once, or, where the kernel refuses that to this
// process, with a clear answer and when the pod is next started.
func TestGrownWhileMounted(t *testing.T) {
	r := newRig(t)
	handle := r.create(pool.ModeMount, 64*mib, nil)
	path := r.publish(handle, pool.ModeMount, false)
	r.must(os.WriteFile(path+"/file", []byte("kept"), 0o644))
	r.expand(handle, 256*mib)
	if err := r.expandOnNode(handle); err != nil && status.Code(err) != codes.FailedPrecondition {
		r.Fatalf("grow while mounted: %v", err)
	} else if err != nil {
		t.Logf("this machine grows ext4 only unmounted: %v", err)
		r.unpublish(handle)
		r.publish(handle, pool.ModeMount, false)
		r.must(r.expandOnNode(handle))
	}
	r.wantRoom(path, 256*mib)
	r.wantFile(path+"/file", "kept")
	record, err := r.driver.pool.Volume(handle)
	if err != nil || record.GrowFileSystem {
		r.Errorf("the record still says that the file system is to grow (%v)", err)
	}
	r.unpublish(handle)
}

// The next pod is there at once, so the kubelet leaves the volume staged.
func TestGrownBetweenPodsWhileStaged(t *testing.T) {
	r := newRig(t)
	handle := r.create(pool.ModeMount, 64*mib, nil)
	path := r.publish(handle, pool.ModeMount, false)
	r.must(os.WriteFile(path+"/file", []byte("kept"), 0o644))
	r.expand(handle, 256*mib)
	_, err := r.driver.NodeUnpublishVolume(context.Background(), &csi.NodeUnpublishVolumeRequest{VolumeId: handle, TargetPath: path})
	r.must(err)
	// Somebody who has the file system open in secret, such as a container
	// that is still ending: the pod starts all the same, without the growth.
	secret, err := os.Open(r.staging(handle) + "/file")
	r.must(err)
	path = r.publishStaged(handle)
	r.wantFile(path+"/file", "kept")
	secret.Close()
	_, err = r.driver.NodeUnpublishVolume(context.Background(), &csi.NodeUnpublishVolumeRequest{VolumeId: handle, TargetPath: path})
	r.must(err)
	path = r.publishStaged(handle)
	r.wantRoom(path, 256*mib)
	r.wantFile(path+"/file", "kept")
	r.unpublish(handle)
}

func (r *rig) publishStaged(handle string) string {
	r.Helper()
	_, err := r.driver.NodePublishVolume(context.Background(), &csi.NodePublishVolumeRequest{
		VolumeId: handle, StagingTargetPath: r.staging(handle), TargetPath: r.target(handle),
		VolumeCapability: capability(pool.ModeMount, ""),
	})
	r.must(err)
	return r.target(handle)
}

func TestXFSGrowsWhileMounted(t *testing.T) {
	r := newRig(t)
	handle := r.create(pool.ModeMount, 320*mib, nil)
	r.must(r.stage(handle, pool.ModeMount, "xfs"))
	path := r.publish(handle, pool.ModeMount, false)
	r.expand(handle, 640*mib)
	r.must(r.expandOnNode(handle))
	r.wantRoom(path, 640*mib)
	r.unpublish(handle)
}

// A block volume grows under its user, and the file system that comes onto it
// later fills it.
func TestGrownAsBlockThenMounted(t *testing.T) {
	r := newRig(t)
	handle := r.create(pool.ModeBlock, 32*mib, nil)
	path := r.publish(handle, pool.ModeBlock, false)
	r.writeDevice(path, r.ext4Image(32*mib, "file", "kept"))
	r.expand(handle, 128*mib)
	r.must(r.expandOnNode(handle))
	device, err := os.Open(path)
	r.must(err)
	size, err := device.Seek(0, 2)
	device.Close()
	if err != nil || size != 128*mib {
		r.Errorf("the device has %d bytes, %v", size, err)
	}
	r.unpublish(handle)
	path = r.publish(handle, pool.ModeMount, false)
	r.wantRoom(path, 128*mib)
	r.wantFile(path+"/file", "kept")
	r.unpublish(handle)
}
