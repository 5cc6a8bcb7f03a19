package manifest

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"ferry.dev/e2e/cluster/internal/layout"
)

func TestFingerprintIsTheSameEachTime(t *testing.T) {
	first := Fingerprint()
	for range 20 {
		if again := Fingerprint(); again != first {
			t.Fatalf("%s, then %s", first, again)
		}
	}
}

func TestManifestsAreFilledInYAML(t *testing.T) {
	for _, driver := range Drivers {
		values := Values{Cluster: layout.Clusters()[0], Namespace: layout.Namespace, Image: "image:1", Driver: driver}
		for _, name := range []string{"node", "dns", "snapshots", "csi-common", "snapshot-metadata", "csi-driver", "classes"} {
			text, err := Render(name, values)
			if err != nil {
				t.Fatal(err)
			}
			for _, document := range strings.Split(text, "\n---\n") {
				var object map[string]any
				if err := yaml.Unmarshal([]byte(document), &object); err != nil || object["kind"] == nil {
					t.Errorf("%s for %s: %v\n%s", name, driver.Short, err, document)
				}
			}
			if strings.Contains(text, "<no value>") {
				t.Errorf("%s for %s has a value missing", name, driver.Short)
			}
		}
	}
}
