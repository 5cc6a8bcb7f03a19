package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Write makes the image and writes it as an archive that containerd, docker
// and podman can load.
func (s Spec) Write(ctx context.Context, path string) error {
	tag, err := name.NewTag(s.Name)
	if err != nil {
		return fmt.Errorf("image name: %w", err)
	}
	entries, err := s.collect(ctx)
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(path), ".image-")
	if err != nil {
		return fmt.Errorf("make image: %w", err)
	}
	defer os.RemoveAll(temp)
	bytes, err := writeLayer(filepath.Join(temp, "layer"), entries)
	if err != nil {
		return fmt.Errorf("make image: %w", err)
	}
	image, err := s.assemble(bytes)
	if err != nil {
		return fmt.Errorf("make image: %w", err)
	}
	archive := filepath.Join(temp, "image")
	if err := tarball.WriteToFile(archive, tag, image); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	return os.Rename(archive, path)
}

func (s Spec) assemble(bytes v1.Layer) (v1.Image, error) {
	image, err := mutate.AppendLayers(empty.Image, bytes)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config = v1.Config{
		Entrypoint: s.Entrypoint,
		User:       s.User,
		Env:        append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, s.Env...),
		WorkingDir: "/",
	}
	return mutate.ConfigFile(image, config)
}
