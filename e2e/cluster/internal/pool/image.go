package pool

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// makeImage makes a sparse file of the given size that begins with the bytes
// of source, sharing its blocks, or with zeros where source is empty.
func makeImage(path, source string, size int64) error {
	image, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer image.Close()
	if source != "" {
		if err := shareBlocks(image, source); err != nil {
			return err
		}
	}
	info, err := image.Stat()
	if err != nil || info.Size() == size {
		// Setting even the size it has makes XFS write the last block of an
		// odd-sized file anew: it would no longer be shared.
		return err
	}
	return image.Truncate(size)
}

func shareBlocks(target *os.File, source string) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := unix.IoctlFileClone(int(target.Fd()), int(from.Fd())); err != nil {
		return fmt.Errorf("share the blocks of %s (needs XFS with reflink): %w", source, err)
	}
	return nil
}
