package cluster

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"

	"ferry.dev/e2e/cluster/internal/api"
	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/manifest"
	"ferry.dev/e2e/cluster/internal/pki"
)

// What applyAll does about the certificate of the snapshot metadata service.
const (
	makeCertificate = true
	keepCertificate = false
)

// applyAll applies everything a cluster gets.
func (l lifter) applyAll(ctx context.Context, c layout.Cluster, client *api.Client, certificate bool) error {
	definitions, err := filepath.Glob(filepath.Join(l.programs.Sidecars, "crd", "*.yaml"))
	if err != nil {
		return err
	}
	for _, definition := range definitions {
		text, err := os.ReadFile(definition)
		if err != nil {
			return err
		}
		if err := client.Apply(ctx, string(text)); err != nil {
			return err
		}
	}
	values, err := newValues(c, systemImage(l.programs))
	if err != nil {
		return err
	}
	names := []string{"node", "dns", "snapshots", "csi-common"}
	if certificate {
		names = append(names, "snapshot-metadata")
	}
	for _, name := range names {
		if err := applyTemplate(ctx, client, name, values); err != nil {
			return err
		}
	}
	for _, driver := range manifest.Drivers {
		values.Driver = driver
		if err := applyTemplate(ctx, client, "csi-driver", values); err != nil {
			return err
		}
	}
	return applyTemplate(ctx, client, "classes", values)
}

func applyTemplate(ctx context.Context, client *api.Client, name string, values manifest.Values) error {
	text, err := manifest.Render(name, values)
	if err != nil {
		return err
	}
	return client.Apply(ctx, text)
}

// newValues makes the certificate of the snapshot metadata service with the
// rest: its authority is its own, as clients trust nothing else for it.
func newValues(c layout.Cluster, image string) (manifest.Values, error) {
	authority, err := pki.NewAuthority("snapshot-metadata-" + c.Name)
	if err != nil {
		return manifest.Values{}, err
	}
	name := "snapshot-metadata." + layout.Namespace
	pair, err := authority.Server("snapshot-metadata", name, name+".svc", name+".svc."+layout.Domain)
	if err != nil {
		return manifest.Values{}, err
	}
	encode := base64.StdEncoding.EncodeToString
	return manifest.Values{
		Cluster: c, Namespace: layout.Namespace, Domain: layout.Domain, Image: image, Driver: manifest.Drivers[0],
		Authority: encode(authority.CertificatePEM), Certificate: encode(pair.Certificate), Key: encode(pair.Key),
	}, nil
}
