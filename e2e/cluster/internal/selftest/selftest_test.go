package selftest

import (
	"bufio"
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	for _, c := range []struct {
		name, lines string
		passed      int
		failed      string
	}{
		{"passes", `{"Action":"pass","Package":"p","Test":"A"}
{"Action":"pass","Package":"p"}`, 1, ""},
		{"a failure counts once", `{"Action":"fail","Package":"p","Test":"A"}
{"Action":"fail","Package":"p"}`, 0, "p A"},
		{"a skip is a failure", `{"Action":"skip","Package":"p","Test":"A"}`, 0, "p A"},
		{"a package without tests is nothing", `{"Action":"skip","Package":"p"}`, 0, ""},
		{"a package that doesn't build is a failure", `{"Action":"fail","Package":"p"}`, 0, "p"},
	} {
		got := count(bufio.NewScanner(strings.NewReader(c.lines)))
		if got.Passed != c.passed || strings.Join(got.Failed, ", ") != c.failed {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
}
