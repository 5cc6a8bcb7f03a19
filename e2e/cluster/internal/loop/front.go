package loop

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// frontMark begins the name of a device that stands on a front.
const frontMark = "ferry-front:"

// AttachFront connects a front to a free loop device. A front is a file that
// passes everything on to another, the image, which is what the device is to be
// found by; the kernel keeps that in the name that a device has for its user.
// There is no device without direct I/O: the page cache above the front would
// take writes that the front refuses.
func AttachFront(front *os.File, image string, readOnly bool) (Device, error) {
	id, err := Identify(image)
	if err != nil {
		return Device{}, err
	}
	serial := uint64(time.Now().UnixNano())
	device, err := attach(front, attachment{name: mark(id, serial), readOnly: readOnly, directOnly: true})
	device.Backing, device.Front = id, serial
	return device, err
}

func mark(image FileID, serial uint64) string {
	return fmt.Sprintf("%s%x:%x:%x", frontMark, image.Device, image.Inode, serial)
}

// parseMark returns the image that a device's name says that it is of, and the
// front's serial number, which is zero where it says nothing of the kind.
func parseMark(name []byte) (image FileID, serial uint64) {
	text, _, _ := strings.Cut(string(name), "\x00")
	if _, err := fmt.Sscanf(text, frontMark+"%x:%x:%x", &image.Device, &image.Inode, &serial); err != nil {
		return FileID{}, 0
	}
	return image, serial
}
