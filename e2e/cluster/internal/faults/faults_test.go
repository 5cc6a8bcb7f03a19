package faults

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNoFileMeansNoFault(t *testing.T) {
	source := NewSource(filepath.Join(t.TempDir(), "faults.json"))
	switches, err := source.For(nil)
	if err != nil || switches != (Switches{SnapshotMetadata: MetadataOn}) {
		t.Fatalf("got %+v, %v", switches, err)
	}
}

func TestFileWinsOverClass(t *testing.T) {
	path := filepath.Join(t.TempDir(), "faults.json")
	source := NewSource(path)
	class := map[string]string{"snapshotDelay": "1s", "snapshotMetadata": "block-only"}
	write(t, path, `{"snapshotDelay": "3s"}`)
	switches, err := source.For(class)
	if err != nil || switches.SnapshotDelay != 3*time.Second || switches.SnapshotMetadata != MetadataBlockOnly {
		t.Fatalf("got %+v, %v", switches, err)
	}
}

func TestCountOfFailuresBeginsAgainWithEachWriting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "faults.json")
	source := NewSource(path)
	for round := range 2 {
		write(t, path, `{"failSnapshots": 2}`)
		written := time.Now().Add(time.Duration(round) * time.Second)
		if err := os.Chtimes(path, written, written); err != nil {
			t.Fatal(err)
		}
		for call, want := range []bool{true, true, false, false} {
			fails, err := source.SnapshotFails("v", nil)
			if err != nil || fails != want {
				t.Fatalf("round %d, call %d: fails=%v, %v; want %v", round, call, fails, err, want)
			}
		}
	}
}

func TestClassCountIsByVolume(t *testing.T) {
	source := NewSource(filepath.Join(t.TempDir(), "faults.json"))
	class := map[string]string{"failSnapshots": "1"}
	for _, step := range []struct {
		volume string
		want   bool
	}{{"a", true}, {"a", false}, {"b", true}, {"b", false}} {
		if fails, err := source.SnapshotFails(step.volume, class); err != nil || fails != step.want {
			t.Fatalf("volume %s: fails=%v, %v; want %v", step.volume, fails, err, step.want)
		}
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	for _, parameters := range []map[string]string{
		{"snapshotDelay": "soon"}, {"failSnapshots": "-3"}, {"failSnapshots": "some"}, {"snapshotMetadata": "maybe"},
	} {
		if _, err := FromParameters(parameters); err == nil {
			t.Errorf("%v was taken", parameters)
		}
	}
}
