// Package manifest holds what is applied to a fresh cluster.
package manifest

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"text/template"

	"ferry.dev/e2e/cluster/internal/layout"
)

//go:embed *.yaml
var files embed.FS

var templates = template.Must(template.ParseFS(files, "*.yaml"))

// Driver is one instance of the storage driver.
type Driver struct {
	// Short is the instance's name inside the cluster.
	Short string
	// Name is the name of the CSI driver.
	Name             string
	Snapshots        bool
	SnapshotMetadata bool
	Expansion        bool
}

// Drivers are the three instances: one with everything, one like drivers that
// can't tell changed blocks, and one like drivers that have no snapshots.
var Drivers = []Driver{
	{Short: "reflink", Name: "reflink.csi.ferry.dev", Snapshots: true, SnapshotMetadata: true, Expansion: true},
	{Short: "plain", Name: "plain.csi.ferry.dev", Snapshots: true},
	{Short: "nosnap", Name: "nosnap.csi.ferry.dev"},
}

// DriverNames are the names of all CSI drivers.
func DriverNames() []string {
	var names []string
	for _, driver := range Drivers {
		names = append(names, driver.Name)
	}
	return names
}

// Fingerprint changes with everything in this package that is applied.
func Fingerprint() string {
	hash := sha256.New()
	fmt.Fprintln(hash, Drivers)
	names, _ := fs.Glob(files, "*.yaml") // only a bad pattern could fail
	for _, name := range names {
		text, _ := files.ReadFile(name) // it is in the program
		fmt.Fprintf(hash, "%s %x\n", name, sha256.Sum256(text))
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// Values are what the manifests are filled in with.
type Values struct {
	Cluster   layout.Cluster
	Namespace string
	Domain    string
	// Image is the image with all programs of the lab.
	Image  string
	Driver Driver
	// The certificate of the snapshot metadata service, all in base64.
	Authority, Certificate, Key string
}

// Render fills in one manifest.
func Render(name string, values Values) (string, error) {
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name+".yaml", values); err != nil {
		return "", fmt.Errorf("fill in manifest %s: %w", name, err)
	}
	return out.String(), nil
}
