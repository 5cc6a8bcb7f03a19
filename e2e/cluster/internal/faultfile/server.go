package faultfile

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ferry.dev/e2e/cluster/internal/faults"
)

const (
	// workers answer requests side by side: a device has several under way.
	workers = 4

	// attributesHold is for how long the kernel need not ask for the size: it
	// never changes under a device. That it doesn't ask is what lets anybody
	// list the machine's loop devices when this process is gone.
	attributesHold = 10 * 365 * 24 * time.Hour
)

// server passes what the kernel asks of the file on to an image.
type server struct {
	// device is /dev/fuse, image the file behind.
	device, image int
	volume        string
	switches      *faults.Source
}

// run answers until the kernel lets go of the file.
func (s *server) run() error {
	outcomes := make([]error, workers)
	var group sync.WaitGroup
	for i := range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			outcomes[i] = s.work()
		}()
	}
	group.Wait()
	return errors.Join(outcomes...)
}

func (s *server) work() error {
	request := make([]byte, largestTransfer+requestRoom)
	reply := make([]byte, 0, largestTransfer+requestRoom)
	for {
		size, err := unix.Read(s.device, request)
		switch {
		case err == nil:
		case errors.Is(err, unix.ENODEV):
			return nil // the kernel has let go of the file
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOENT):
			continue // ENOENT: the request was withdrawn
		default:
			return fmt.Errorf("read a request: %w", err)
		}
		answer, err := s.answer(request[:size], reply)
		if err != nil {
			return err
		}
		if answer == nil {
			continue
		}
		_, err = unix.Write(s.device, answer)
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("answer a request: %w", err)
		}
	}
}

// answer carries a request out and returns the answer, built on reply's memory,
// or none where the kernel wants none.
func (s *server) answer(request, reply []byte) ([]byte, error) {
	var header inHeader
	body, err := take(request, &header)
	if err != nil {
		return nil, err
	}
	switch header.Operation {
	case opForget, opBatchForget, opInterrupt, opDestroy:
		return nil, nil
	}
	answer, err := s.carryOut(header.Operation, body, put(reply, outHeader{}))
	var errno unix.Errno
	switch {
	case err == nil:
	case errors.As(err, &errno):
		answer = put(reply, outHeader{})
	default:
		return nil, err
	}
	head := outHeader{Length: uint32(len(answer)), Error: -int32(errno), Unique: header.Unique}
	put(answer[:0], head)
	return answer, nil
}

// carryOut appends what an operation answers. An error that is an errno is the
// operation's; any other is the end of the server.
func (s *server) carryOut(operation uint32, body, reply []byte) ([]byte, error) {
	switch operation {
	case opInit:
		return s.init(body, reply)
	case opGetAttr:
		return s.attributes(reply)
	case opOpen:
		return put(reply, openOut{Flags: openDirect}), nil
	case opRelease, opFlush:
		return reply, nil
	case opRead:
		return s.read(body, reply)
	case opWrite:
		return s.write(body, reply)
	case opFsync:
		return reply, unix.Fdatasync(s.image)
	case opFallocate:
		return reply, s.allocate(body)
	case opStatFS:
		return s.statistics(reply)
	}
	return reply, unix.ENOSYS
}

func (s *server) init(body, reply []byte) ([]byte, error) {
	var asked initIn
	if _, err := take(body, &asked); err != nil {
		return nil, err
	}
	if asked.Major != protocolMajor || asked.Minor < protocolMinor {
		return nil, fmt.Errorf("the kernel speaks FUSE %d.%d; %d.%d is needed", asked.Major, asked.Minor, protocolMajor, protocolMinor)
	}
	const underWay = 64
	return put(reply, initOut{
		Major: protocolMajor, Minor: protocolMinor, ReadAhead: asked.ReadAhead,
		Flags:      asked.Flags & (mayReadAsync | mayWriteBig | mayDirectAsync | mayAskPages),
		Background: underWay, Congested: underWay,
		LargestWrite: largestTransfer, LargestPages: uint16(largestTransfer / unix.Getpagesize()), TimeGranularity: 1,
	}), nil
}

func (s *server) attributes(reply []byte) ([]byte, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(s.image, &stat); err != nil {
		return reply, err
	}
	return put(reply, attrOut{
		ValidSeconds: uint64(attributesHold.Seconds()),
		Inode:        1, Size: uint64(stat.Size), Blocks: uint64(stat.Blocks),
		Mode: unix.S_IFREG | 0o600, Links: 1, BlockSize: uint32(stat.Blksize),
	}), nil
}

// statistics has the block size from which a loop device learns how finely it
// can discard.
func (s *server) statistics(reply []byte) ([]byte, error) {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(s.image, &stat); err != nil {
		return reply, err
	}
	return put(reply, statFSOut{
		Blocks: stat.Blocks, Free: stat.Bfree, Available: stat.Bavail, Files: stat.Files, FilesFree: stat.Ffree,
		BlockSize: uint32(stat.Bsize), NameLength: uint32(stat.Namelen), FragmentSize: uint32(stat.Frsize),
	}), nil
}

func (s *server) read(body, reply []byte) ([]byte, error) {
	var asked transferIn
	if _, err := take(body, &asked); err != nil {
		return nil, err
	}
	if asked.Size > largestTransfer {
		return reply, unix.EINVAL
	}
	if err := s.refuse(faults.Reading, asked.Offset, uint64(asked.Size)); err != nil {
		return reply, err
	}
	start := len(reply)
	reply = reply[:start+int(asked.Size)]
	for end := start; end < len(reply); {
		count, err := unix.Pread(s.image, reply[end:], int64(asked.Offset)+int64(end-start))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return reply, err
		}
		if count == 0 {
			return reply[:end], nil // the end of the image
		}
		end += count
	}
	return reply, nil
}

func (s *server) write(body, reply []byte) ([]byte, error) {
	var asked transferIn
	data, err := take(body, &asked)
	if err != nil {
		return nil, err
	}
	if len(data) != int(asked.Size) {
		return nil, fmt.Errorf("a write of %d bytes came with %d", asked.Size, len(data))
	}
	if err := s.refuse(faults.Writing, asked.Offset, uint64(asked.Size)); err != nil {
		return reply, err
	}
	for done := 0; done < len(data); {
		count, err := unix.Pwrite(s.image, data[done:], int64(asked.Offset)+int64(done))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return reply, err
		}
		done += count
	}
	return put(reply, writeOut{Size: asked.Size}), nil
}

// allocate is what a discard (a hole is punched) and a write of zeros come as.
// Both change bytes, so both are writes.
func (s *server) allocate(body []byte) error {
	var asked fallocateIn
	if _, err := take(body, &asked); err != nil {
		return err
	}
	if err := s.refuse(faults.Writing, asked.Offset, asked.Length); err != nil {
		return err
	}
	return unix.Fallocate(s.image, asked.Mode, int64(asked.Offset), int64(asked.Length))
}

// refuse is EIO where the switches say so. Where they can't be read it is too:
// a test that believes that they are on must not see them off.
func (s *server) refuse(kind faults.Transfer, offset, length uint64) error {
	refused, err := s.switches.Refuses(faults.Access{Volume: s.volume, Kind: kind, Offset: int64(offset), Length: int64(length)})
	if err != nil {
		slog.Error("the switches can't be read: failing the transfer", "volume", s.volume, "error", err)
		return unix.EIO
	}
	if refused {
		slog.Info("fault switch: I/O error", "volume", s.volume, "transfer", kind, "offset", offset, "length", length)
		return unix.EIO
	}
	return nil
}
