package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ferry.dev/e2e/cluster/internal/build"
	"ferry.dev/e2e/cluster/internal/image"
	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/process"
	"ferry.dev/e2e/cluster/internal/step"
)

const pauseImage = "ferry.dev/lab/pause:1"

// systemImage is the name of the image of everything that the lab runs in
// pods. It changes with the content, so that pods follow.
func systemImage(p build.Programs) string { return "ferry.dev/lab/system:" + p.Key }

// archives are the lab's own images, ready to be loaded.
type archives struct{ pause, system string }

// ensureArchives makes the archives that aren't in the cache.
func ensureArchives(ctx context.Context, p build.Programs, report *step.Reporter) (archives, error) {
	root, err := layout.CacheRoot()
	if err != nil {
		return archives{}, err
	}
	a := archives{
		pause:  filepath.Join(root, "image-pause-"+p.Key+".tar"),
		system: filepath.Join(root, "image-system-"+p.Key+".tar"),
	}
	for path, spec := range map[string]image.Spec{a.pause: pauseSpec(p), a.system: systemSpec(p)} {
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := report.Do("make image "+spec.Name+" (once)", func() error { return spec.Write(ctx, path) }); err != nil {
			return archives{}, err
		}
	}
	return a, nil
}

func pauseSpec(p build.Programs) image.Spec {
	return image.Spec{
		Name:       pauseImage,
		Files:      []image.File{{Host: filepath.Join(p.Own, "pause"), Path: "/pause"}},
		Entrypoint: []string{"/pause"},
	}
}

// systemSpec is one image for everything that runs in the clusters: DNS, the
// storage driver with what it calls, and the sidecars.
func systemSpec(p build.Programs) image.Spec {
	spec := image.Spec{Name: systemImage(p), Packages: []string{"e2fsprogs", "xfsprogs", "util-linux"}, Busybox: true}
	for folder, names := range map[string][]string{
		p.Own:      {"reflink-csi"},
		p.Apart:    {"coredns"},
		p.Sidecars: {"csi-provisioner", "csi-snapshotter", "csi-resizer", "csi-snapshot-metadata", "snapshot-controller"},
	} {
		for _, name := range names {
			spec.Files = append(spec.Files, image.File{Host: filepath.Join(folder, name), Path: "/bin/" + name})
		}
	}
	return spec
}

func (l lifter) loadArchives(ctx context.Context, c layout.Cluster) error {
	err := step.Until(ctx, "containerd of "+c.Name, 20*time.Second, c.Log("containerd"), func() error {
		_, err := os.Stat(c.ContainerdSocket())
		return err
	})
	if err != nil {
		return err
	}
	for _, archive := range []string{l.archives.pause, l.archives.system} {
		if err := Load(ctx, c, archive); err != nil {
			return err
		}
	}
	return nil
}

// Load imports an image archive into a cluster's containerd.
func Load(ctx context.Context, c layout.Cluster, archive string) error {
	path, err := filepath.Abs(archive)
	if err != nil {
		return err
	}
	enter, err := process.Enter(c)
	if err != nil {
		return err
	}
	command := append(enter, "ctr", "--address", c.ContainerdSocket(), "--namespace", "k8s.io", "images", "import", path)
	if err := step.Run(ctx, command...); err != nil {
		return fmt.Errorf("load image %s into %s: %w", archive, c.Name, err)
	}
	return nil
}
