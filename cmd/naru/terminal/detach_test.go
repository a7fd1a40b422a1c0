package terminal

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestDetachReader(t *testing.T) {
	for _, c := range []struct {
		keys, in, out string
		detached      bool
	}{
		{"ctrl-p,ctrl-q", "abc", "abc", false},
		{"ctrl-p,ctrl-q", "a\x10\x11b", "a", true},
		{"ctrl-p,ctrl-q", "a\x10b", "a\x10b", false},
		{"ctrl-p,ctrl-q", "\x10\x10\x11", "\x10", true},
		{"ctrl-p,ctrl-q", "a\x10", "a\x10", false},
		{"a,a,b", "aaab", "a", true},
		{"a,b,a,c", "ababac", "ab", true},
		{"q", "xyq", "xy", true},
	} {
		keys, err := ParseKeys(c.keys)
		if err != nil {
			t.Fatal(err)
		}
		for name, in := range map[string]io.Reader{
			"whole": strings.NewReader(c.in), "by byte": iotest.OneByteReader(strings.NewReader(c.in)),
		} {
			got, err := io.ReadAll(NewDetachReader(in, keys))
			if string(got) != c.out || errors.Is(err, ErrDetached) != c.detached {
				t.Errorf("%s, %q %s: %q, %v", c.keys, c.in, name, got, err)
			}
		}
	}
}

func TestParseKeys(t *testing.T) {
	for in, want := range map[string]string{"ctrl-p,ctrl-q": "\x10\x11", "a": "a", "ctrl-@": "\x00", "ctrl-[": "\x1b", "ctrl-_,x": "\x1fx"} {
		if got, err := ParseKeys(in); string(got) != want || err != nil {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "ctrl-", "ctrl-A", "ab", "ctrl-pp", "a,"} {
		if got, err := ParseKeys(in); err == nil {
			t.Errorf("%q: %q, want an error", in, got)
		}
	}
}
