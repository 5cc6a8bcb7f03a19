package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// clusterScoped are the kinds among the lab's manifests without a namespace.
var clusterScoped = map[string]bool{
	"Namespace": true, "ClusterRole": true, "ClusterRoleBinding": true, "CustomResourceDefinition": true,
	"StorageClass": true, "CSIDriver": true, "VolumeSnapshotClass": true, "SnapshotMetadataService": true, "VolumeSnapshotContent": true,
}

// Apply applies every document of a YAML text, in order.
func (c *Client) Apply(ctx context.Context, text string) error {
	for _, document := range strings.Split(text, "\n---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		if err := c.applyOne(ctx, []byte(document)); err != nil {
			return err
		}
	}
	return nil
}

// applyOne applies one object on the server. A kind that was defined a moment
// ago, or a server that only just began, needs another try.
func (c *Client) applyOne(ctx context.Context, document []byte) error {
	body, err := yaml.YAMLToJSON(document)
	if err != nil {
		return fmt.Errorf("read manifest: %w\n%s", err, document)
	}
	var object header
	if err := json.Unmarshal(body, &object); err != nil {
		return fmt.Errorf("read manifest: %w\n%s", err, document)
	}
	if object.Kind == "" {
		return nil // only comments
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, err := c.call(ctx, http.MethodPatch, object.path()+"?fieldManager=ferry-lab&force=true", "application/apply-patch+yaml", body)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrNotFound) || time.Now().After(deadline) {
			return fmt.Errorf("apply %s %s: %w", object.Kind, object.Metadata.Name, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

type header struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
}

func (h header) path() string {
	path := "/apis/" + h.APIVersion
	if !strings.Contains(h.APIVersion, "/") {
		path = "/api/" + h.APIVersion
	}
	if !clusterScoped[h.Kind] {
		path += "/namespaces/" + h.Metadata.Namespace
	}
	return path + "/" + plural(h.Kind) + "/" + h.Metadata.Name
}

// plural makes the resource name that is right for every kind among the lab's manifests.
func plural(kind string) string {
	name := strings.ToLower(kind)
	if strings.HasSuffix(name, "s") {
		return name + "es"
	}
	return name + "s"
}
