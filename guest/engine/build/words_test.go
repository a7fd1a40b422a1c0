package build

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

type closing struct{ *bytes.Buffer }

func (closing) Close() error { return nil }

// TestRuntimeWords: only what the runtime alone has said of a step that failed is told in other words.
func TestRuntimeWords(t *testing.T) {
	const line = `{"msg":"exec container process ` + "`/p`" + `: Exec format error","level":"error","time":"2026-01-02T03:04:05.6Z"}` + "\n"
	const other = `{"msg":"no \"x\"","level":"error","time":"2026-01-02T03:04:05.6Z"}` + "\n"
	failed := errors.New("exit code: 1")
	for _, c := range []struct {
		name    string
		writes  []string
		end     error
		want    string
		message string // part of the error
	}{
		{"nothing", nil, nil, "", ""},
		{"a step's own words", []string{"a", "b\n"}, failed, "ab\n", "exit code: 1"},
		{"the runtime's", []string{other}, failed, "no \"x\"\n", "exit code: 1"},
		{"another platform", []string{line}, failed, "exec container process `/p`: Exec format error\n", "nothing here emulates another platform: exit code: 1"},
		{"a step that looks like it, and goes on", []string{line, "more"}, failed, line + "more", "exit code: 1"},
		{"a step that looks like it, and succeeds", []string{line}, nil, line, ""},
		{"a step that looks like it later", []string{"x\n", line}, failed, "x\n" + line, "exit code: 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			w := &runtimeWords{WriteCloser: closing{&out}}
			for _, s := range c.writes {
				if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
					t.Fatal(n, err)
				}
			}
			err := w.end(c.end)
			if out.String() != c.want {
				t.Errorf("%q, want %q", out.String(), c.want)
			}
			if (err == nil) != (c.end == nil) || err != nil && (!strings.Contains(err.Error(), c.message) || !errors.Is(err, failed)) {
				t.Errorf("%v, want %q", err, c.message)
			}
		})
	}
}
