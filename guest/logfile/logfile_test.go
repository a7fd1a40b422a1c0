package logfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const patience = 30 * time.Second

func write(t *testing.T, path string, chunks ...string) {
	t.Helper()
	w, err := NewWriter(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chunks {
		s := Stdout
		if strings.HasPrefix(c, "E") {
			s = Stderr
		}
		w.Write(s, []byte(c))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string, o Options) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var lines []string
	err := Read(ctx, path, o, func(e Entry) error {
		lines = append(lines, string(e.Line))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

var everything = Options{Stdout: true, Stderr: true, Tail: All}

// TestEncodingIsJSON holds our encoder against encoding/json, which has the same rules as Docker's, byte for byte.
func TestEncodingIsJSON(t *testing.T) {
	var all bytes.Buffer
	for c := range 256 {
		all.WriteByte(byte(c))
		all.WriteByte('x')
	}
	for _, text := range []string{"plain\n", "", all.String(), "나루 ✓ \u2028\u2029 <a href=\"x\">&\\\t\r\n", "\xff\xc3", "\x7f\x00"} {
		now := time.Now()
		got := newEncoder(Config{Attrs: map[string]string{"b": "<\n", "a": `"`}}).append(nil, Stderr, now, []byte(text))
		want, err := json.Marshal(struct {
			Log    string            `json:"log"`
			Stream string            `json:"stream"`
			Attrs  map[string]string `json:"attrs"`
			Time   time.Time         `json:"time"`
		}{text, "stderr", map[string]string{"a": `"`, "b": "<\n"}, now.UTC()})
		if err != nil {
			t.Fatal(err)
		}
		// encoding/json has short forms for \b, \f and \t that Docker's encoder lacks.
		wanted := strings.NewReplacer(`\b`, `\u0008`, `\f`, `\u000c`, `\t`, `\u0009`).Replace(string(want))
		if text != all.String() && string(got) != wanted+"\n" {
			t.Errorf("encoded %q:\n got %s\nwant %s", text, got, wanted)
		}
		var e Entry
		d := decoder{attrs: true}
		if err := d.decode(&e, got); err != nil || e.Attrs["b"] != "<\n" || !e.Time.Equal(now) || string(e.Line) != strings.ToValidUTF8(strings.ToValidUTF8(text, "\ufffd"), "") && !sameRunes(text, e.Line) {
			t.Errorf("decode %q: %q, %v", text, e.Line, err)
		}
	}
}

// sameRunes compares rune by rune, so that each wrong byte counts as one U+FFFD.
func sameRunes(a string, b []byte) bool { return string([]rune(a)) == string(b) }

func TestLinesAndPieces(t *testing.T) {
	long := strings.Repeat("가", MaxLine) // three bytes each, so that MaxLine falls inside one
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "one\ntw", "Eerr\n", "o\n\n", long+"\n", "no newline")
	got := read(t, path, everything)
	if want := []string{"one\n", "Eerr\n", "two\n", "\n"}; fmt.Sprint(got[:4]) != fmt.Sprint(want) {
		t.Fatalf("got %q, want %q", got[:4], want)
	}
	if last := got[len(got)-1]; last != "no newline" {
		t.Errorf("last entry is %q", last)
	}
	pieces := got[4 : len(got)-1]
	if strings.Join(pieces, "") != long+"\n" {
		t.Error("the pieces of a long line do not make up the line")
	}
	for _, p := range pieces {
		if len(strings.TrimSuffix(p, "\n")) > MaxLine {
			t.Errorf("a piece has %d bytes", len(p))
		}
	}
}

func TestChoices(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	base := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	var file []byte
	enc := newEncoder(Config{})
	for i := range 5000 {
		file = enc.append(file, Stream(i%2), base.Add(time.Duration(i)*time.Second), fmt.Appendf(nil, "%d\n", i))
	}
	file = append(file, "garbage\n"...)
	file = append(file, `{"time":"2026-01-02T05:00:00Z","attrs":{"a":"b"},"stream":"stdout","log":"other \u00e9\n"}`+"\n"...)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o           Options
		n           int
		first, last string
	}{
		"all":        {everything, 5001, "0\n", "other é\n"},
		"tail":       {Options{Stdout: true, Stderr: true, Tail: 4}, 3, "4998\n", "other é\n"},
		"long tail":  {Options{Stdout: true, Stderr: true, Tail: 3002}, 3001, "2000\n", "other é\n"},
		"whole tail": {Options{Stdout: true, Stderr: true, Tail: 9999}, 5001, "0\n", "other é\n"},
		"no tail":    {Options{Stdout: true, Stderr: true}, 0, "", ""},
		"stdout":     {Options{Stdout: true, Tail: All}, 2501, "0\n", "other é\n"},
		"stderr":     {Options{Stderr: true, Tail: All}, 2500, "1\n", "4999\n"},
		"bounds":     {Options{Stdout: true, Stderr: true, Tail: All, Since: base.Add(10 * time.Second), Until: base.Add(12 * time.Second)}, 3, "10\n", "12\n"},
	} {
		got := read(t, path, c.o)
		if len(got) != c.n || c.n > 0 && (got[0] != c.first || got[c.n-1] != c.last) {
			t.Errorf("%s: %d entries, want %d: first and last of %.300q", name, len(got), c.n, got)
		}
	}
	if err := Read(t.Context(), path+"x", everything, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing log: %v", err)
	}
}

// follower follows a log from a goroutine of its own.
type follower struct {
	t      *testing.T
	lines  chan string
	done   chan struct{}
	result chan error
}

func follow(t *testing.T, path string, o Options) *follower {
	f := &follower{t, make(chan string, 100), make(chan struct{}), make(chan error, 1)}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r := NewReader(path, o, func(e Entry) error {
		f.lines <- string(e.Line)
		return nil
	})
	go func() {
		defer r.Close()
		f.result <- r.Follow(ctx, f.done)
	}()
	return f
}

func (f *follower) expect(want string) {
	f.t.Helper()
	select {
	case got := <-f.lines:
		if got != want {
			f.t.Fatalf("got %q, want %q", got, want)
		}
	case err := <-f.result:
		f.t.Fatalf("ended before %q: %v", want, err)
	}
}

// TestFollow follows a log from before it exists to the end of its writer, over a rotation.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f := follow(t, path, Options{Stdout: true, Tail: All})
	w, err := NewWriter(path, Config{MaxSize: 200, MaxFiles: 2})
	if err != nil {
		t.Fatal(err)
	}
	w.Write(Stdout, []byte("a\nb"))
	f.expect("a\n")
	w.Write(Stdout, []byte("c\n"))
	f.expect("bc\n")
	w.Write(Stdout, []byte("fills the file\n"))
	w.Write(Stdout, []byte("next\nend"))
	f.expect("fills the file\n")
	f.expect("next\n")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f.expect("end")
	close(f.done)
	if err := <-f.result; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path + ".1"); err != nil {
		t.Error(err)
	}
}

func TestFollowEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "x\n")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	r := NewReader(path, Options{Stdout: true, Tail: All}, func(Entry) error { cancel(); return nil })
	defer r.Close()
	if err := r.Follow(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	f := follow(t, path, Options{Stdout: true, Tail: All, Until: time.Now().Add(50 * time.Millisecond)})
	f.expect("x\n")
	if err := <-f.result; err != nil {
		t.Errorf("until: %v", err)
	}
	stop := errors.New("enough")
	if err := Read(t.Context(), path, everything, func(Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("deliver's error: %v", err)
	}
}

// TestTornEnd: a log whose writer was killed half way through a record can still be appended to and read.
func TestTornEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "a\n")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(whole, `{"log":"half`...), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, path, "b\n")
	if got := read(t, path, everything); fmt.Sprint(got) != fmt.Sprint([]string{"a\n", "b\n"}) {
		t.Errorf("got %q", got)
	}
}

// BenchmarkWrite measures lines of 100 bytes (newline included) that arrive in reads of 32 KiB, to a file on disk.
func BenchmarkWrite(b *testing.B) {
	line := []byte(strings.Repeat("0123456789", 10)[:99] + "\n")
	chunk := bytes.Repeat(line, 327)
	path := filepath.Join(b.TempDir(), "log")
	w, err := NewWriter(path, Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	written := 0
	for n := b.N; n > 0; n -= 327 {
		w.Write(Stdout, chunk)
		if written += len(chunk); written > 1<<30 { // keep the disk's share of the measurement, not its contents
			b.StopTimer()
			_ = os.Truncate(path, 0)
			written = 0
			b.StartTimer()
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkRead measures reading such a log whole.
func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "log")
	w, err := NewWriter(path, Config{})
	if err != nil {
		b.Fatal(err)
	}
	chunk := bytes.Repeat([]byte(strings.Repeat("0123456789", 10)[:99]+"\n"), 1000)
	for range 100 {
		w.Write(Stdout, chunk)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	lines := 0
	for lines < b.N {
		if err := Read(b.Context(), path, everything, func(Entry) error { lines++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
}
