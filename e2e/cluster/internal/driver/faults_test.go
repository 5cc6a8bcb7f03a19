package driver

import (
	"context"
	"os"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"

	"ferry.dev/e2e/cluster/internal/extents"
	"ferry.dev/e2e/cluster/internal/pool"
)

const mib = 1 << 20

// pair makes two snapshots of a volume with several changed ranges.
func (r *rig) pair(mode pool.Mode, parameters map[string]string) (handle, base, target string) {
	r.Helper()
	handle = r.create(mode, 64*mib, parameters)
	if mode == pool.ModeMount {
		path := r.publish(handle, mode, false)
		base = r.snapshot(handle)
		r.must(os.WriteFile(path+"/file", make([]byte, mib), 0o644))
		target = r.snapshot(handle)
	} else {
		device, err := os.OpenFile(r.publish(handle, mode, false), os.O_RDWR, 0)
		r.must(err)
		defer device.Close()
		base = r.snapshot(handle)
		for i := range int64(10) {
			_, err := device.WriteAt([]byte("changed"), i*5*mib)
			r.must(err)
		}
		target = r.snapshot(handle)
	}
	r.Cleanup(func() { r.unpublish(handle) })
	return handle, base, target
}

// bothCalls asks for both kinds of metadata.
func (r *rig) bothCalls(base, target string, check func(call string, ranges []extents.Range, err error)) {
	messages, err := r.allocated(target, page{})
	check("allocated", joined(messages), err)
	messages, err = r.delta(base, target, page{})
	check("delta", joined(messages), err)
}

func (r *rig) wantBoth(what, base, target string, want codes.Code) {
	r.Helper()
	r.bothCalls(base, target, func(call string, ranges []extents.Range, err error) {
		r.wantCode(what+": "+call, err, want)
		if want == codes.OK && len(ranges) == 0 {
			r.Errorf("%s: %s lists nothing", what, call)
		}
		if want != codes.OK && len(ranges) > 0 {
			r.Errorf("%s: %s lists %v", what, call, ranges)
		}
	})
}

func TestMetadataOff(t *testing.T) {
	r := newRig(t)
	_, base, target := r.pair(pool.ModeBlock, nil)
	r.wantBoth("without a fault", base, target, codes.OK)
	r.fault(`{"snapshotMetadata": "off"}`)
	r.wantBoth("off", base, target, codes.FailedPrecondition)
	r.fault(`{"snapshotMetadata": "on"}`)
	r.wantBoth("on again", base, target, codes.OK)
}

func TestMetadataOffByClass(t *testing.T) {
	r := newRig(t)
	_, base, target := r.pair(pool.ModeBlock, map[string]string{"snapshotMetadata": "off"})
	r.wantBoth("off by class", base, target, codes.FailedPrecondition)
	r.fault(`{"snapshotMetadata": "on"}`)
	r.wantBoth("the file wins", base, target, codes.OK)
}

func TestMetadataBlockOnly(t *testing.T) {
	r := newRig(t)
	class := map[string]string{"snapshotMetadata": "block-only"}
	_, base, target := r.pair(pool.ModeBlock, class)
	r.wantBoth("block claim", base, target, codes.OK)

	handle, base, target := r.pair(pool.ModeMount, class)
	r.wantBoth("file-system claim", base, target, codes.InvalidArgument)
	r.fault(`{"snapshotMetadata": "on"}`)
	r.wantBoth("file-system claim, switch taken back", base, target, codes.OK)
	r.fault(`{}`)

	// A claim that no pod ever used is still a file-system claim.
	unused := r.create(pool.ModeMount, 64*mib, class)
	_, err := r.allocated(r.snapshot(unused), page{})
	r.wantCode("unused file-system claim", err, codes.InvalidArgument)

	// What the snapshot is restored as does not matter, nor what the same
	// volume is published as later: the snapshot is of a file-system volume.
	r.unpublish(handle)
	r.publish(handle, pool.ModeBlock, false)
	r.wantBoth("published as block since", base, target, codes.InvalidArgument)

	// Only what is cut now is of a block volume, and only two such compare.
	now := r.snapshot(handle)
	_, err = r.allocated(now, page{})
	r.wantCode("cut while published as block", err, codes.OK)
	_, err = r.delta(target, now, page{})
	r.wantCode("from file system to block", err, codes.InvalidArgument)
}

func TestMetadataFailsMidstream(t *testing.T) {
	r := newRig(t)
	_, base, target := r.pair(pool.ModeBlock, nil)
	whole := map[string][]extents.Range{}
	r.bothCalls(base, target, func(call string, ranges []extents.Range, err error) {
		r.must(err)
		whole[call] = ranges
	})
	r.fault(`{"snapshotMetadata": "fail-midstream"}`)
	r.bothCalls(base, target, func(call string, ranges []extents.Range, err error) {
		r.wantCode(call, err, codes.Unavailable)
		if len(ranges) == 0 || len(ranges) >= len(whole[call]) {
			r.Errorf("%s sent %d of %d ranges before it broke off", call, len(ranges), len(whole[call]))
		}
	})
}

func TestSnapshotDelay(t *testing.T) {
	r := newRig(t)
	handle := r.create(pool.ModeBlock, mib, nil)
	r.fault(`{"snapshotDelay": "1h"}`)
	slow, err := r.snapshotOf(handle)
	r.must(err)
	if slow.GetReadyToUse() {
		r.Error("a delayed snapshot is ready at once")
	}
	r.fault(`{}`)
	quick, err := r.snapshotOf(handle)
	r.must(err)
	if !quick.GetReadyToUse() {
		r.Error("a snapshot without a delay is not ready")
	}
}

func TestSnapshotsFail(t *testing.T) {
	r := newRig(t)
	handle := r.create(pool.ModeBlock, mib, nil)
	r.fault(`{"failSnapshots": 3}`)
	for call, want := range []codes.Code{codes.Internal, codes.Internal, codes.Internal, codes.OK} {
		_, err := r.snapshotOf(handle)
		r.wantCode("call "+string(rune('1'+call)), err, want)
	}
	r.fault(`{"failSnapshots": "all"}`)
	for range 5 {
		_, err := r.snapshotOf(handle)
		r.wantCode("all fail", err, codes.Internal)
	}
	r.fault(`{"stall": true}`)
	_, err := r.snapshotOf(handle)
	r.wantCode("stalled", err, codes.Unavailable)
	r.fault(`{"failSnapshots": "nonsense"}`)
	_, err = r.snapshotOf(handle)
	r.wantCode("nonsense in the file", err, codes.Internal)
	r.fault(`{}`)
	_, err = r.snapshotOf(handle)
	r.wantCode("all taken back", err, codes.OK)
}

func TestInstancesWithLess(t *testing.T) {
	r := newRig(t)
	_, base, target := r.pair(pool.ModeBlock, nil)
	r.driver.config.SnapshotMetadata = false
	r.wantBoth("no metadata", base, target, codes.Unimplemented)
	r.driver.config.Snapshots = false
	_, err := r.driver.CreateSnapshot(context.Background(), &csi.CreateSnapshotRequest{SourceVolumeId: "v", Name: "n"})
	r.wantCode("no snapshots", err, codes.Unimplemented)
}
