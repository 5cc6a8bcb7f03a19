package cluster

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"text/template"

	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/machine"
)

//go:embed config/*
var configFiles embed.FS

var configTemplates = template.Must(template.ParseFS(configFiles, "config/*"))

// configValues are what the configurations are filled in with.
type configValues struct {
	layout.Cluster
	CNIFolder  string
	PauseImage string
	Domain     string
}

// writeConfigs writes the configuration files of the programs that need one.
func writeConfigs(c layout.Cluster) error {
	values := configValues{Cluster: c, CNIFolder: machine.CNIFolder, PauseImage: pauseImage, Domain: layout.Domain}
	for name, path := range map[string]string{
		"containerd.toml":     c.Run("config", "containerd.toml"),
		"kubelet.yaml":        c.Run("config", "kubelet.yaml"),
		"kube-proxy.yaml":     c.Run("config", "kube-proxy.yaml"),
		"kube-scheduler.yaml": c.Run("config", "kube-scheduler.yaml"),
		"pods.conflist":       c.Run("cni", "10-pods.conflist"),
		"resolv.conf":         c.Run("config", "resolv.conf"),
	} {
		var text bytes.Buffer
		if err := configTemplates.ExecuteTemplate(&text, name, values); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
		if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	return nil
}
