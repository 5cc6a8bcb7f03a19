package loop

import "testing"

func TestMarkLeadsBackToTheImage(t *testing.T) {
	const most = 1<<64 - 1
	for _, want := range []struct {
		image  FileID
		serial uint64
	}{{FileID{Device: 0x700, Inode: 131}, 1}, {FileID{Device: most, Inode: most}, most}} {
		var name [64]byte // the kernel's room, with a zero at its end
		text := mark(want.image, want.serial)
		if copied := copy(name[:len(name)-1], text); copied != len(text) {
			t.Errorf("%q does not fit", text)
		}
		if image, serial := parseMark(name[:]); image != want.image || serial != want.serial {
			t.Errorf("%q is read as %v, %x", text, image, serial)
		}
	}
}

func TestOtherNamesAreNoMarks(t *testing.T) {
	for _, name := range []string{"", "/var/lib/pool.img", "ferry-front:", "ferry-front:7:8", "ferry-front:x:y:z"} {
		if image, serial := parseMark([]byte(name)); serial != 0 {
			t.Errorf("%q is read as %v, %x", name, image, serial)
		}
	}
}
