package api

import (
	"encoding/json"
	"testing"
)

func TestWorkloadComplete(t *testing.T) {
	for _, c := range []struct {
		name, text string
		complete   bool
	}{
		{"a daemon set that is rolled out", `{"metadata":{"generation":2},"status":{"observedGeneration":2,"desiredNumberScheduled":1,"updatedNumberScheduled":1,"numberReady":1}}`, true},
		{"one whose change wasn't seen", `{"metadata":{"generation":3},"status":{"observedGeneration":2,"desiredNumberScheduled":1,"updatedNumberScheduled":1,"numberReady":1}}`, false},
		{"one with the old pod", `{"metadata":{"generation":2},"status":{"observedGeneration":2,"desiredNumberScheduled":1,"numberReady":1}}`, false},
		{"a deployment that is rolled out", `{"metadata":{"generation":1},"status":{"observedGeneration":1,"replicas":1,"updatedReplicas":1,"readyReplicas":1}}`, true},
		{"one with old and new pods", `{"metadata":{"generation":2},"status":{"observedGeneration":2,"replicas":2,"updatedReplicas":1,"readyReplicas":2}}`, false},
		{"one without pods", `{"metadata":{"generation":1},"status":{"observedGeneration":1}}`, false},
	} {
		var w workload
		if err := json.Unmarshal([]byte(c.text), &w); err != nil {
			t.Fatal(err)
		}
		if got := w.complete(); (got == nil) != c.complete {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
