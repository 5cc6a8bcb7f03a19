package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const kubernetesVersion = "v1.34.4"

// KubePrograms are the names under which the one Kubernetes binary is called.
var KubePrograms = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"}

// Programs are the folders with the built programs.
type Programs struct {
	Kube     string // KubePrograms
	Sidecars string // csi-*, snapshot-controller, csi-sanity, crd/
	Apart    string // coredns, helm
	Own      string // reflink-csi, pause
	// Key changes with any of them that goes into an image.
	Key string
}

// All builds everything that isn't in the cache.
func (c *Cache) All(ctx context.Context) (Programs, error) {
	unlock, err := c.lock()
	if err != nil {
		return Programs{}, err
	}
	defer unlock()
	var p Programs
	for _, part := range []struct {
		folder *string
		build  func(context.Context) (string, error)
	}{
		{&p.Kube, c.kube}, {&p.Sidecars, c.sidecars}, {&p.Apart, c.apart}, {&p.Own, c.own},
	} {
		if *part.folder, err = part.build(ctx); err != nil {
			return Programs{}, err
		}
	}
	if p.Key, err = c.key([]string{p.Sidecars, p.Apart, p.Own}); err != nil {
		return Programs{}, err
	}
	return p, c.link(p)
}

// Sanity builds what csi-sanity needs and nothing else.
func (c *Cache) Sanity(ctx context.Context) (Programs, error) {
	unlock, err := c.lock()
	if err != nil {
		return Programs{}, err
	}
	defer unlock()
	var p Programs
	if p.Sidecars, err = c.sidecars(ctx); err != nil {
		return Programs{}, err
	}
	p.Own, err = c.own(ctx)
	return p, err
}

func (c *Cache) kube(ctx context.Context) (string, error) {
	key, err := c.key([]string{kubernetesVersion}, "go.mod", "go.sum", "cmd/kube")
	if err != nil {
		return "", err
	}
	return c.entry("kube", key, func(folder string) error {
		flags := "-s -w"
		for _, module := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
			flags += fmt.Sprintf(" -X %s.gitVersion=%s", module, kubernetesVersion)
		}
		if err := c.goBuild(ctx, flags, filepath.Join(folder, "kube"), "./cmd/kube"); err != nil {
			return err
		}
		for _, name := range KubePrograms {
			if err := os.Symlink("kube", filepath.Join(folder, name)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Cache) sidecars(ctx context.Context) (string, error) {
	key, err := c.key(nil, "go.mod", "go.sum")
	if err != nil {
		return "", err
	}
	return c.entry("sidecars", key, func(folder string) error {
		if err := c.goBuild(ctx, "-s -w", folder+"/", "tool"); err != nil {
			return err
		}
		return c.copyCRDs(ctx, filepath.Join(folder, "crd"))
	})
}

func (c *Cache) own(ctx context.Context) (string, error) {
	key, err := c.key(nil, "go.mod", "go.sum", "cmd/reflink-csi", "cmd/pause", "internal/driver", "internal/extents",
		"internal/faultfile", "internal/faults", "internal/filesystem", "internal/loop", "internal/pool")
	if err != nil {
		return "", err
	}
	return c.entry("own", key, func(folder string) error {
		return c.goBuild(ctx, "-s -w", folder+"/", "./cmd/reflink-csi", "./cmd/pause")
	})
}

// apart builds the programs that need other versions of what the rest of the
// lab is made of. They are one module, so that what both need is built once.
func (c *Cache) apart(ctx context.Context) (string, error) {
	key, err := c.key(nil, "apart")
	if err != nil {
		return "", err
	}
	return c.entry("apart", key, func(folder string) error {
		return c.goBuildIn(ctx, filepath.Join(c.source, "apart"), "-s -w", folder+"/", "./coredns", "tool")
	})
}

// copyCRDs takes the definitions out of the modules that own them.
func (c *Cache) copyCRDs(ctx context.Context, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, module := range []string{
		"github.com/kubernetes-csi/external-snapshotter/client/v8",
		"github.com/kubernetes-csi/external-snapshot-metadata/client",
	} {
		cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module)
		cmd.Dir = c.source
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("find module %s: %w", module, err)
		}
		definitions, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "config", "crd", "*_*.yaml"))
		if err != nil || len(definitions) == 0 {
			return fmt.Errorf("no resource definitions in module %s (%v)", module, err)
		}
		for _, definition := range definitions {
			text, err := os.ReadFile(definition)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(folder, filepath.Base(definition)), text, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Cache) goBuild(ctx context.Context, linkFlags, output string, packages ...string) error {
	return c.goBuildIn(ctx, c.source, linkFlags, output, packages...)
}

// goBuildIn builds packages of the module in a folder, without cgo, so that the
// programs run in any image.
func (c *Cache) goBuildIn(ctx context.Context, folder, linkFlags, output string, packages ...string) error {
	arguments := append([]string{"build", "-trimpath", "-ldflags", linkFlags, "-o", output}, packages...)
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(arguments, " "), err, out)
	}
	return nil
}

// link makes the programs that people call stand in one folder.
func (c *Cache) link(p Programs) error {
	if err := os.MkdirAll(c.Bin(), 0o755); err != nil {
		return err
	}
	for name, folder := range map[string]string{"kubectl": p.Kube, "helm": p.Apart, "csi-sanity": p.Sidecars} {
		temp := filepath.Join(c.Bin(), fmt.Sprintf(".%s-%d", name, os.Getpid()))
		if err := os.Symlink(filepath.Join(folder, name), temp); err != nil {
			return err
		}
		if err := os.Rename(temp, filepath.Join(c.Bin(), name)); err != nil {
			return err
		}
	}
	return nil
}
