// Package image makes container images out of files of this machine, without
// a registry and without a builder: one layer, the same bytes each time.
package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Spec is what an image is made of.
type Spec struct {
	// Name is the image's name with its tag.
	Name string
	// Files are files or folders of this machine and their paths in the image.
	Files []File
	// Packages are Debian packages whose programs are put in, with the
	// libraries that they load.
	Packages []string
	// Busybox puts in a static busybox with a link for each of its programs.
	Busybox bool

	Entrypoint []string
	User       string
	Env        []string
}

// File is a file or folder of this machine and its path in the image.
type File struct{ Host, Path string }

// ParseFile reads "HOST=>PATH".
func ParseFile(text string) (File, error) {
	host, path, ok := strings.Cut(text, "=>")
	if !ok || host == "" || !strings.HasPrefix(path, "/") {
		return File{}, fmt.Errorf("%q is not of the form HOST=>/PATH/IN/IMAGE", text)
	}
	return File{Host: host, Path: path}, nil
}

// basics are in every image: programs expect to find their user's name and a
// place for temporary files.
var basics = map[string]content{
	"/tmp":        {directory: true, mode: 0o1777},
	"/etc/passwd": {text: []byte("root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"), mode: 0o644},
	"/etc/group":  {text: []byte("root:x:0:\nnogroup:x:65534:\n"), mode: 0o644},
}

// content is one entry of an image: a directory, a link, a text or a file of
// this machine.
type content struct {
	directory bool
	link      string
	text      []byte
	host      string
	mode      int64
}

// collect gathers all entries of an image by their paths.
func (s Spec) collect(ctx context.Context) (map[string]content, error) {
	entries := map[string]content{}
	for path, basic := range basics {
		entries[path] = basic
	}
	for _, name := range s.Packages {
		if err := addPackage(ctx, entries, name); err != nil {
			return nil, err
		}
	}
	for _, file := range s.Files {
		if err := addTree(entries, file); err != nil {
			return nil, err
		}
	}
	if s.Busybox {
		if err := addBusybox(ctx, entries); err != nil {
			return nil, err
		}
	}
	addParents(entries)
	return entries, nil
}

// addTree adds a file, or a folder with all that is in it.
func addTree(entries map[string]content, file File) error {
	return filepath.Walk(file.Host, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return fmt.Errorf("add %s to the image: %w", file.Host, err)
		}
		relative, err := filepath.Rel(file.Host, path)
		if err != nil {
			return err
		}
		target := filepath.Join(file.Path, relative)
		switch {
		case info.IsDir():
			entries[target] = content{directory: true, mode: int64(info.Mode().Perm())}
		case info.Mode()&os.ModeSymlink != 0 && relative != ".":
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			entries[target] = content{link: link, mode: 0o777}
		default:
			return addFile(entries, path, target)
		}
		return nil
	})
}

// addFile adds one file; a link is followed.
func addFile(entries map[string]content, host, path string) error {
	info, err := os.Stat(host)
	if err != nil {
		return fmt.Errorf("add %s to the image: %w", host, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("add %s to the image: it is not a file", host)
	}
	entries[path] = content{host: host, mode: int64(info.Mode().Perm())}
	return nil
}

func addParents(entries map[string]content) {
	var paths []string
	for path := range entries {
		paths = append(paths, path)
	}
	for _, path := range paths {
		for parent := filepath.Dir(path); parent != "/"; parent = filepath.Dir(parent) {
			if _, ok := entries[parent]; !ok {
				entries[parent] = content{directory: true, mode: 0o755}
			}
		}
	}
}
