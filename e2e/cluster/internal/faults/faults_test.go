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
		{"faultDevice": "perhaps"},
	} {
		if _, err := FromParameters(parameters); err == nil {
			t.Errorf("%v was taken", parameters)
		}
	}
}

func TestControlFileIsChecked(t *testing.T) {
	for _, text := range []string{
		`{`, `[]`, `{} {}`, `{"stal": true}`, `{"stall": "yes"}`, `{"snapshotDelay": "soon"}`,
		`{"eio": [{"from": 0, "to": 4096}]}`, `{"eio": [{"volume": "v", "from": 4096, "to": 4096}]}`,
		`{"eio": [{"volume": "v", "from": -1}]}`, `{"eio": [{"volume": "v", "on": "erase"}]}`,
		`{"eio": [{"volume": "v", "until": 1}]}`,
	} {
		if Check([]byte(text)) == nil {
			t.Errorf("%s was taken", text)
		}
	}
	for _, text := range []string{
		`{}`, `{"stall": true, "failSnapshots": "all"}`, `{"eio": [{"volume": "*"}, {"volume": "v", "from": 1, "to": 2, "on": "read"}]}`,
	} {
		if err := Check([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestRangesThatFail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "faults.json")
	source := NewSource(path)
	write(t, path, `{"eio": [
		{"volume": "a", "from": 4096, "to": 8192, "on": "read"},
		{"volume": "b", "from": 100, "on": "write"},
		{"volume": "*", "from": 1000000, "to": 1000001}]}`)
	for _, step := range []struct {
		access Access
		want   bool
	}{
		{Access{"a", Reading, 0, 4096}, false},
		{Access{"a", Reading, 0, 4097}, true},
		{Access{"a", Reading, 8191, 1}, true},
		{Access{"a", Reading, 8192, 4096}, false},
		{Access{"a", Writing, 4096, 4096}, false},
		{Access{"b", Reading, 4096, 4096}, false},
		{Access{"b", Writing, 0, 100}, false},
		{Access{"b", Writing, 1 << 40, 1}, true},
		{Access{"c", Writing, 999999, 2}, true},
		{Access{"c", Reading, 1000001, 1}, false},
	} {
		if refused, err := source.Refuses(step.access); err != nil || refused != step.want {
			t.Errorf("%+v: refused=%v, %v; want %v", step.access, refused, err, step.want)
		}
	}
	write(t, path, `{}`)
	if refused, err := source.Refuses(Access{"a", Reading, 4096, 1}); err != nil || refused {
		t.Errorf("taken back: refused=%v, %v", refused, err)
	}
}
