package faultfile

import (
	"encoding/binary"
	"fmt"
)

// The operations of the FUSE protocol that a loop device on the file leads to.
// All others are answered with ENOSYS, as the protocol has it.
const (
	opForget      = 2
	opGetAttr     = 3
	opOpen        = 14
	opRead        = 15
	opWrite       = 16
	opStatFS      = 17
	opRelease     = 18
	opFsync       = 20
	opFlush       = 25
	opInit        = 26
	opInterrupt   = 36
	opDestroy     = 38
	opBatchForget = 42
	opFallocate   = 43
)

const (
	protocolMajor = 7
	protocolMinor = 31

	// What the kernel is told at INIT that it may do.
	mayReadAsync   = 1 << 0
	mayWriteBig    = 1 << 5
	mayDirectAsync = 1 << 15
	mayAskPages    = 1 << 22

	// openDirect keeps the kernel from caching anything of the file: each
	// transfer asks here, and finds the switches as they are.
	openDirect = 1 << 0

	// largestTransfer is the most data that one request carries.
	largestTransfer = 1 << 20

	// requestRoom is what a request takes beside its data; the kernel refuses
	// a buffer that hasn't room for the longest.
	requestRoom = 4096

	outHeaderSize = 16
)

// The messages of linux/fuse.h.
type inHeader struct {
	Length, Operation uint32
	Unique, Node      uint64
	UID, GID, PID     uint32
	Extensions, _     uint16
}

type outHeader struct {
	Length uint32
	Error  int32
	Unique uint64
}

type initIn struct{ Major, Minor, ReadAhead, Flags uint32 }

type initOut struct {
	Major, Minor, ReadAhead, Flags uint32
	Background, Congested          uint16
	LargestWrite, TimeGranularity  uint32
	LargestPages, MapAlignment     uint16
	_                              [8]uint32
}

type attrOut struct {
	ValidSeconds                     uint64
	ValidNanoseconds, _              uint32
	Inode, Size, Blocks              uint64
	AccessTime, ModifyTime, MetaTime uint64
	_                                [3]uint32
	Mode, Links, UID, GID, Device    uint32
	BlockSize, Flags                 uint32
}

type openOut struct {
	Handle   uint64
	Flags, _ uint32
}

// transferIn is the head of READ and of WRITE.
type transferIn struct {
	Handle, Offset uint64
	Size, _        uint32
	LockOwner      uint64
	Flags, _       uint32
}

type writeOut struct{ Size, _ uint32 }

type fallocateIn struct {
	Handle, Offset, Length uint64
	Mode, _                uint32
}

type statFSOut struct {
	Blocks, Free, Available, Files, FilesFree uint64
	BlockSize, NameLength, FragmentSize, _    uint32
	_                                         [6]uint32
}

// take reads a message from the front of a request and returns what is behind it.
func take(request []byte, message any) ([]byte, error) {
	size, err := binary.Decode(request, binary.NativeEndian, message)
	if err != nil {
		return nil, fmt.Errorf("a request of %d bytes is too short for %T", len(request), message)
	}
	return request[size:], nil
}

// put appends a message. It can't fail: all messages are of fixed size.
func put(reply []byte, message any) []byte {
	reply, err := binary.Append(reply, binary.NativeEndian, message)
	if err != nil {
		panic(err)
	}
	return reply
}
