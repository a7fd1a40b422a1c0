package progress

import (
	"bytes"
	"strings"
	"testing"
)

const pull = `{"status":"Pulling from library/x","id":"latest"}
{"status":"Pulling fs layer","progressDetail":{},"id":"aaa"}
{"status":"Pulling fs layer","progressDetail":{},"id":"bbb"}
{"status":"Downloading","progressDetail":{"current":50,"total":100},"id":"aaa"}
{"status":"Pull complete","progressDetail":{},"id":"bbb"}
{"aux":{"ID":"sha256:1"}}
{"status":"Status: Downloaded newer image for x:latest"}
`

func TestPlainLines(t *testing.T) {
	var b bytes.Buffer
	if err := Show(t.Context(), strings.NewReader(pull), Output{W: &b}); err != nil {
		t.Fatal(err)
	}
	want := `latest: Pulling from library/x
aaa: Pulling fs layer
bbb: Pulling fs layer
bbb: Pull complete
Status: Downloaded newer image for x:latest
`
	if b.String() != want {
		t.Errorf("got:\n%s", b.String())
	}
}

func TestTerminal(t *testing.T) {
	var b bytes.Buffer
	if err := Show(t.Context(), strings.NewReader(pull), Output{W: &b, Columns: func() int { return 80 }}); err != nil {
		t.Fatal(err)
	}
	got := screen(b.String())
	want := []string{
		"latest: Pulling from library/x",
		"aaa: Downloading [======================>                      ]      50B/100B",
		"bbb: Pull complete",
		"Status: Downloaded newer image for x:latest",
		"",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the screen shows:\n%s", strings.Join(got, "\n"))
	}
}

// screen is a terminal that knows the few sequences that we use.
func screen(out string) []string {
	lines, row := []string{""}, 0
	for out != "" {
		var n int
		var seq byte
		if strings.HasPrefix(out, "\x1b[") {
			i := strings.IndexAny(out, "ABK")
			for _, c := range out[2:i] {
				n = n*10 + int(c-'0')
			}
			seq, out = out[i], out[i+1:]
		}
		switch {
		case seq == 'A':
			row -= n
		case seq == 'B':
			row += n
		case seq == 'K':
			lines[row] = ""
		case out[0] == '\n':
			row++
			out = out[1:]
		case out[0] == '\r':
			out = out[1:]
		default:
			i := strings.IndexAny(out, "\x1b\r\n")
			lines[row], out = lines[row]+out[:i], out[i:]
		}
		for row >= len(lines) {
			lines = append(lines, "")
		}
	}
	return lines
}

func TestErrorInTheStream(t *testing.T) {
	var b bytes.Buffer
	err := Show(t.Context(), strings.NewReader(`{"errorDetail":{"message":"manifest unknown"},"error":"manifest unknown"}`), Output{W: &b})
	if err == nil || err.Error() != "manifest unknown" || b.Len() > 0 {
		t.Errorf("error %v, shown %q", err, b.String())
	}
}

func TestBar(t *testing.T) {
	for _, c := range []struct {
		current, total int64
		width          int
		want           string
	}{
		{0, 100, 60, "[>                                          ]       0B/100B"},
		{100, 100, 60, "[===========================================]     100B/100B"},
		{50, 0, 60, "     50B"},
		{50, 100, 20, "     50B/100B"},
		{200, 100, 20, "    200B"},
	} {
		if got := Bar(c.current, c.total, c.width, false, ""); got != c.want {
			t.Errorf("Bar(%d, %d, %d) = %q, want %q", c.current, c.total, c.width, got, c.want)
		}
	}
}
