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

// config is a configuration file and what is in it.
type config struct{ path, text string }

// renderConfigs makes the configurations of the programs that need one.
func renderConfigs(c layout.Cluster) ([]config, error) {
	values := configValues{Cluster: c, CNIFolder: machine.CNIFolder, PauseImage: pauseImage, Domain: layout.Domain}
	var configs []config
	for _, file := range []struct{ name, path string }{
		{"containerd.toml", c.Run("config", "containerd.toml")},
		{"kubelet.yaml", c.Run("config", "kubelet.yaml")},
		{"kube-proxy.yaml", c.Run("config", "kube-proxy.yaml")},
		{"kube-scheduler.yaml", c.Run("config", "kube-scheduler.yaml")},
		{"pods.conflist", c.Run("cni", "10-pods.conflist")},
		{"resolv.conf", c.Run("config", "resolv.conf")},
	} {
		var text bytes.Buffer
		if err := configTemplates.ExecuteTemplate(&text, file.name, values); err != nil {
			return nil, fmt.Errorf("make configuration: %w", err)
		}
		configs = append(configs, config{file.path, text.String()})
	}
	return configs, nil
}

// writeConfigs writes the configurations.
func writeConfigs(c layout.Cluster) error {
	configs, err := renderConfigs(c)
	if err != nil {
		return err
	}
	for _, config := range configs {
		if err := os.WriteFile(config.path, []byte(config.text), 0o644); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	return nil
}
