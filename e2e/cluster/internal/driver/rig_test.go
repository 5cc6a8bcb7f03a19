package driver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"ferry.dev/e2e/cluster/internal/extents"
	"ferry.dev/e2e/cluster/internal/faultfile"
	"ferry.dev/e2e/cluster/internal/faults"
	"ferry.dev/e2e/cluster/internal/filesystem"
	"ferry.dev/e2e/cluster/internal/loop"
	"ferry.dev/e2e/cluster/internal/pool"
	"ferry.dev/e2e/cluster/internal/scratch"
)

// rig is a driver with a pool of its own, and what a kubelet and the sidecars
// would do with it.
type rig struct {
	*testing.T
	driver *Driver
	folder string
	client csi.SnapshotMetadataClient
	serial int
}

func TestMain(m *testing.M) {
	if faultfile.Called() {
		os.Exit(faultfile.Main())
	}
	slog.SetLogLoggerLevel(slog.LevelError) // each call is logged otherwise
	os.Exit(m.Run())
}

// newRig fails the test where real volumes can't be had: a test that can't run
// proves nothing, and says so.
func newRig(t *testing.T) *rig {
	t.Helper()
	// Not t.TempDir: a socket's path is short.
	folder, err := os.MkdirTemp("", "ferry-driver-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	backing, err := scratch.NewPool(context.Background(), folder)
	if err != nil {
		t.Fatalf("CAN'T RUN: this test needs root, loop devices and XFS: %v", err)
	}
	t.Cleanup(func() {
		if err := backing.Remove(); err != nil {
			t.Error(err)
		}
	})
	volumes, err := pool.Open(backing.Path)
	if err != nil {
		t.Fatal(err)
	}
	config := Config{Name: "reflink.csi.ferry.dev", Node: "test", Snapshots: true, SnapshotMetadata: true}
	d, err := New(config, volumes, faults.NewSource(filepath.Join(folder, "faults.json")))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, driver: d, folder: folder}
	r.serve()
	return r
}

// serve answers calls on a socket: streams are tested through gRPC itself.
func (r *rig) serve() {
	socket := filepath.Join(r.folder, "csi.sock")
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.driver.Serve(ctx, socket) }()
	connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		connection.Close()
		stop()
		if err := <-ended; err != nil {
			r.Error(err)
		}
	})
	r.client = csi.NewSnapshotMetadataClient(connection)
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// name returns a name that was not used before.
func (r *rig) name() string {
	r.serial++
	return r.Name() + "-" + time.Now().Format(time.RFC3339Nano) + "-" + string(rune('a'+r.serial%26))
}

func capability(mode pool.Mode, kind string) *csi.VolumeCapability {
	c := &csi.VolumeCapability{
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER},
		AccessType: &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}},
	}
	if mode == pool.ModeMount {
		c.AccessType = &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{FsType: kind}}
	}
	return c
}

func (r *rig) create(mode pool.Mode, size int64, parameters map[string]string) string {
	r.Helper()
	response, err := r.driver.CreateVolume(context.Background(), &csi.CreateVolumeRequest{
		Name: r.name(), Parameters: parameters, CapacityRange: &csi.CapacityRange{RequiredBytes: size},
		VolumeCapabilities: []*csi.VolumeCapability{capability(mode, "")},
	})
	r.must(err)
	return response.GetVolume().GetVolumeId()
}

func (r *rig) restore(snapshot string, mode pool.Mode, size int64) string {
	r.Helper()
	response, err := r.driver.CreateVolume(context.Background(), &csi.CreateVolumeRequest{
		Name: r.name(), CapacityRange: &csi.CapacityRange{RequiredBytes: size},
		VolumeCapabilities: []*csi.VolumeCapability{capability(mode, "")},
		VolumeContentSource: &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
			Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: snapshot},
		}},
	})
	r.must(err)
	return response.GetVolume().GetVolumeId()
}

func (r *rig) staging(handle string) string { return filepath.Join(r.folder, "staging-"+handle) }
func (r *rig) target(handle string) string  { return filepath.Join(r.folder, "target-"+handle) }

func (r *rig) stage(handle string, mode pool.Mode, kind string) error {
	_, err := r.driver.NodeStageVolume(context.Background(), &csi.NodeStageVolumeRequest{
		VolumeId: handle, StagingTargetPath: r.staging(handle), VolumeCapability: capability(mode, kind),
	})
	return err
}

// publish stages and publishes as a kubelet does, and returns the path that a
// pod would see.
func (r *rig) publish(handle string, mode pool.Mode, readOnly bool) string {
	r.Helper()
	r.must(r.stage(handle, mode, ""))
	_, err := r.driver.NodePublishVolume(context.Background(), &csi.NodePublishVolumeRequest{
		VolumeId: handle, StagingTargetPath: r.staging(handle), TargetPath: r.target(handle),
		VolumeCapability: capability(mode, ""), Readonly: readOnly,
	})
	r.must(err)
	return r.target(handle)
}

func (r *rig) unpublish(handle string) {
	r.Helper()
	_, err := r.driver.NodeUnpublishVolume(context.Background(), &csi.NodeUnpublishVolumeRequest{VolumeId: handle, TargetPath: r.target(handle)})
	r.must(err)
	r.unstage(handle)
}

func (r *rig) unstage(handle string) {
	r.Helper()
	_, err := r.driver.NodeUnstageVolume(context.Background(), &csi.NodeUnstageVolumeRequest{VolumeId: handle, StagingTargetPath: r.staging(handle)})
	r.must(err)
}

func (r *rig) snapshotOf(handle string) (*csi.Snapshot, error) {
	response, err := r.driver.CreateSnapshot(context.Background(), &csi.CreateSnapshotRequest{SourceVolumeId: handle, Name: r.name()})
	return response.GetSnapshot(), err
}

func (r *rig) snapshot(handle string) string {
	r.Helper()
	snapshot, err := r.snapshotOf(handle)
	r.must(err)
	return snapshot.GetSnapshotId()
}

// bytes are the bytes of a snapshot, past everything that is tested here.
func (r *rig) bytes(snapshot string) []byte {
	r.Helper()
	text, err := os.ReadFile(r.driver.pool.SnapshotImage(snapshot))
	r.must(err)
	return text
}

func (r *rig) device(handle string) loop.Device {
	r.Helper()
	device, attached, err := loop.FindWritable(r.driver.pool.VolumeImage(handle))
	if err != nil || !attached {
		r.Fatalf("volume %s has no device: %v", handle, err)
	}
	return device
}

func (r *rig) fault(text string) {
	r.Helper()
	r.must(os.WriteFile(filepath.Join(r.folder, "faults.json"), []byte(text), 0o644))
}

func (r *rig) wantCode(what string, err error, want codes.Code) {
	r.Helper()
	if status.Code(err) != want {
		r.Errorf("%s: got %v, want %s", what, err, want)
	}
}

// page asks for one part of the metadata and where to begin.
type page struct {
	offset int64
	limit  int32
}

// metadataStream is what both calls' streams have in common.
type metadataStream interface {
	GetVolumeCapacityBytes() int64
	GetBlockMetadataType() csi.BlockMetadataType
	GetBlockMetadata() []*csi.BlockMetadata
}

// allocated returns the messages of GetMetadataAllocated, and its error.
func (r *rig) allocated(snapshot string, p page) ([][]extents.Range, error) {
	stream, err := r.client.GetMetadataAllocated(context.Background(), &csi.GetMetadataAllocatedRequest{
		SnapshotId: snapshot, StartingOffset: p.offset, MaxResults: p.limit,
	})
	r.must(err)
	return r.messages(p, func() (metadataStream, error) { return stream.Recv() })
}

// delta returns the messages of GetMetadataDelta, and its error.
func (r *rig) delta(base, target string, p page) ([][]extents.Range, error) {
	stream, err := r.client.GetMetadataDelta(context.Background(), &csi.GetMetadataDeltaRequest{
		BaseSnapshotId: base, TargetSnapshotId: target, StartingOffset: p.offset, MaxResults: p.limit,
	})
	r.must(err)
	return r.messages(p, func() (metadataStream, error) { return stream.Recv() })
}

func (r *rig) messages(p page, receive func() (metadataStream, error)) ([][]extents.Range, error) {
	var messages [][]extents.Range
	for {
		message, err := receive()
		if errors.Is(err, io.EOF) {
			return messages, nil
		}
		if err != nil {
			return messages, err
		}
		if message.GetBlockMetadataType() != csi.BlockMetadataType_VARIABLE_LENGTH {
			r.Errorf("block metadata type is %v", message.GetBlockMetadataType())
		}
		if p.limit > 0 && len(message.GetBlockMetadata()) > int(p.limit) {
			r.Errorf("%d tuples in one message; %d were asked for at most", len(message.GetBlockMetadata()), p.limit)
		}
		var ranges []extents.Range
		for _, tuple := range message.GetBlockMetadata() {
			ranges = append(ranges, extents.Range{Offset: tuple.GetByteOffset(), Length: tuple.GetSizeBytes()})
		}
		messages = append(messages, ranges)
	}
}

func joined(messages [][]extents.Range) []extents.Range {
	var all []extents.Range
	for _, ranges := range messages {
		all = append(all, ranges...)
	}
	return all
}

func (r *rig) mountpoint(handle string) string {
	r.Helper()
	path, mounted, err := filesystem.MountOf(r.device(handle).Path())
	if err != nil || !mounted {
		r.Fatalf("volume %s is not mounted: %v", handle, err)
	}
	return path
}
