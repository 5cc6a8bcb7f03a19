package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// layer is an uncompressed layer in a file. Compressing it would cost more
// than it saves: it only goes from one folder of this machine to another.
type layer struct {
	path string
	hash v1.Hash
	size int64
}

func (l layer) Digest() (v1.Hash, error)             { return l.hash, nil }
func (l layer) DiffID() (v1.Hash, error)             { return l.hash, nil }
func (l layer) Compressed() (io.ReadCloser, error)   { return os.Open(l.path) }
func (l layer) Uncompressed() (io.ReadCloser, error) { return os.Open(l.path) }
func (l layer) Size() (int64, error)                 { return l.size, nil }
func (l layer) MediaType() (types.MediaType, error)  { return types.DockerUncompressedLayer, nil }

// writeLayer writes the entries, sorted and without times, to a file.
func writeLayer(path string, entries map[string]content) (layer, error) {
	file, err := os.Create(path)
	if err != nil {
		return layer{}, err
	}
	defer file.Close()
	digest := sha256.New()
	archive := tar.NewWriter(io.MultiWriter(file, digest))
	var paths []string
	for path := range entries {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	for _, path := range paths {
		if err := writeEntry(archive, path, entries[path]); err != nil {
			return layer{}, fmt.Errorf("write %s into the image: %w", path, err)
		}
	}
	if err := archive.Close(); err != nil {
		return layer{}, err
	}
	info, err := file.Stat()
	if err != nil {
		return layer{}, err
	}
	hash := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(digest.Sum(nil))}
	return layer{path: path, hash: hash, size: info.Size()}, nil
}

func writeEntry(archive *tar.Writer, path string, entry content) error {
	header := &tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: entry.mode, Format: tar.FormatPAX}
	switch {
	case entry.directory:
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		return archive.WriteHeader(header)
	case entry.link != "":
		header.Typeflag, header.Linkname = tar.TypeSymlink, entry.link
		return archive.WriteHeader(header)
	}
	var source io.Reader = bytes.NewReader(entry.text)
	header.Typeflag, header.Size = tar.TypeReg, int64(len(entry.text))
	if entry.host != "" {
		file, err := os.Open(entry.host)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		source, header.Size = file, info.Size()
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(archive, source)
	return err
}
