// Package faultfile makes loop devices that fail to read and write what the
// fault switches name, with the I/O error that a broken disk gives.
//
// Such a device stands on a file of a FUSE file system that has nothing but
// this file, and a process behind it that passes each transfer on to the
// volume's image or refuses it. Nothing else about the device differs: discards
// punch holes, flushes flush, what is written is in the image.
//
// The process is one of its own, so that it never waits for itself: whoever
// uses the device may be killed in the middle of a transfer, and so may it.
// When it is, the kernel fails every transfer of the device from then on, which
// frees all who wait. The file system is mounted nowhere: it ends with the
// device, and the process with it.
package faultfile

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"ferry.dev/e2e/cluster/internal/faults"
	"ferry.dev/e2e/cluster/internal/loop"
)

// program is the name by which this program is called to be the process behind
// a file, with the file's descriptors and the words that Main takes.
const program = "reflink-fault-file"

const (
	deviceDescriptor = 3
	imageDescriptor  = 4
)

// File is what a device is to stand on.
type File struct {
	// Image is the volume's image, which the device is found by.
	Image string
	// Volume is the name that the switches have for it.
	Volume string
	// Switches is the control file of the switches.
	Switches string
	ReadOnly bool
}

// Called tells whether this program was started as the process behind a file.
// A program that attaches files has to ask at its start, and then run Main.
func Called() bool { return os.Args[0] == program }

// Main is the process behind a file. It returns its exit code.
func Main() int {
	if len(os.Args) != 3 {
		fmt.Fprintf(os.Stderr, "%s: started by the storage driver only\n", program)
		return 2
	}
	s := server{device: deviceDescriptor, image: imageDescriptor, volume: os.Args[1], switches: faults.NewSource(os.Args[2])}
	if err := s.run(); err != nil {
		slog.Error("the file of a faulty device ends", "volume", s.volume, "error", err)
		return 1
	}
	return 0
}

// Attach attaches a new loop device to an image, with a file between the two.
func Attach(f File) (loop.Device, error) {
	device, err := f.attach()
	if err != nil {
		return loop.Device{}, fmt.Errorf("attach a device with fault switches to %s: %w", f.Image, err)
	}
	return device, nil
}

func (f File) attach() (loop.Device, error) {
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return loop.Device{}, err
	}
	defer fuse.Close()
	root, err := fileSystem(fuse)
	if err != nil {
		return loop.Device{}, err
	}
	defer unix.Close(root)
	process, err := f.start(fuse)
	if err != nil {
		return loop.Device{}, err
	}
	// From here on the process alone has the connection, and ends it by ending.
	fuse.Close()
	device, err := f.attachFront("/proc/self/fd/" + strconv.Itoa(root))
	go f.collect(process, device, err == nil)
	return device, err
}

// fileSystem makes a FUSE file system whose root is a file, and returns a
// descriptor of it. It is mounted nowhere.
func fileSystem(fuse *os.File) (int, error) {
	context, err := unix.Fsopen("fuse", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("make a FUSE file system: %w", err)
	}
	defer unix.Close(context)
	for _, option := range [][2]string{
		{"source", program}, {"fd", strconv.Itoa(int(fuse.Fd()))}, {"rootmode", "100000"}, {"user_id", "0"}, {"group_id", "0"},
		{"max_read", strconv.Itoa(largestTransfer)},
	} {
		if err := unix.FsconfigSetString(context, option[0], option[1]); err != nil {
			return 0, fmt.Errorf("make a FUSE file system: option %s: %w", option[0], err)
		}
	}
	if err := unix.FsconfigSetFlag(context, "allow_other"); err != nil {
		return 0, fmt.Errorf("make a FUSE file system: option allow_other: %w", err)
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return 0, fmt.Errorf("make a FUSE file system: %w", err)
	}
	root, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return 0, fmt.Errorf("make a FUSE file system: %w", err)
	}
	return root, nil
}

// start starts the process behind the file. It outlives whoever started it, as
// the device does.
func (f File) start(fuse *os.File) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	mode := os.O_RDWR
	if f.ReadOnly {
		mode = os.O_RDONLY
	}
	image, err := os.OpenFile(f.Image, mode, 0)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	process := exec.Command(self)
	process.Args = []string{program, f.Volume, f.Switches}
	process.Stderr = os.Stderr
	process.ExtraFiles = []*os.File{deviceDescriptor - 3: fuse, imageDescriptor - 3: image}
	process.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return process, process.Start()
}

func (f File) attachFront(path string) (loop.Device, error) {
	mode := os.O_RDWR
	if f.ReadOnly {
		mode = os.O_RDONLY
	}
	front, err := os.OpenFile(path, mode, 0)
	if err != nil {
		return loop.Device{}, err
	}
	defer front.Close()
	// The kernel asks for the size and remembers it.
	if _, err := front.Stat(); err != nil {
		return loop.Device{}, err
	}
	return loop.AttachFront(front, f.Image, f.ReadOnly)
}

// collect waits for the end of the process. One that ended before its device
// leaves a device that can do nothing, which nobody should find any more.
func (f File) collect(process *exec.Cmd, device loop.Device, attached bool) {
	err := process.Wait()
	if err == nil {
		return
	}
	slog.Error("the process behind a device has ended; the device is dead", "volume", f.Volume, "error", err)
	if attached {
		if err := loop.DetachAll([]loop.Device{device}); err != nil {
			slog.Error("a dead device stays", "volume", f.Volume, "error", err)
		}
	}
}
