package sanity

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// expected are names as the suite would skip them.
func expected() []string {
	var names []string
	for _, s := range skips {
		for i := range s.tests {
			names = append(names, fmt.Sprintf("%s%d", s.under, i))
		}
	}
	return names
}

func TestTheKnownSkipsAreRight(t *testing.T) {
	if wrong := checkSkips(expected()); len(wrong) > 0 {
		t.Error(wrong)
	}
}

func TestAnyOtherSkipIsWrong(t *testing.T) {
	for what, names := range map[string][]string{
		"a test of something else":   append(expected(), "Node Service should work"),
		"one more of a known group":  append(expected(), skips[0].under+"should do something new"),
		"one that has run after all": expected()[1:],
	} {
		if len(checkSkips(names)) != 1 {
			t.Errorf("%s: %v", what, checkSkips(names))
		}
	}
}

func TestSkipsAreInTheCounts(t *testing.T) {
	report := filepath.Join(t.TempDir(), "report.json")
	var specs []string
	for _, name := range append(expected(), "Node Service should work") {
		specs = append(specs, fmt.Sprintf(`{"LeafNodeType": "It", "LeafNodeText": %q, "State": "skipped"}`, name))
	}
	specs = append(specs, `{"LeafNodeType": "BeforeSuite", "State": "passed"}`,
		`{"LeafNodeType": "It", "ContainerHierarchyTexts": ["Node Service"], "LeafNodeText": "should be there", "State": "passed"}`)
	text := `[{"SpecReports": [` + strings.Join(specs, ",") + `]}]`
	if err := os.WriteFile(report, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	counts, err := readCounts(report)
	want := Counts{Passed: 1, Failed: 1, Skipped: len(expected()) + 1}
	if err == nil || counts != want || !strings.Contains(err.Error(), "Node Service should work") {
		t.Errorf("got %+v, %v; want %+v and an error with the name", counts, err, want)
	}
}
