package logfile

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func numbers(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("%06d\n", i))
	}
	return out
}

func openWriter(t *testing.T, path string, c Config) *Writer {
	t.Helper()
	w, err := NewWriter(path, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// packed waits until there is nothing left to compress.
func packed(t *testing.T, w *Writer) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		w.files.mu.Lock()
		done := !w.files.packing
		w.files.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("compression does not end")
		}
	}
}

// TestRotation: the files are as many and as large as was asked for, a reader sees them as one, in each format, and a
// tail is as long as it has to be wherever it begins.
func TestRotation(t *testing.T) {
	for name, c := range map[string]Config{
		"json":    {MaxSize: 4000, MaxFiles: 3},
		"gzip":    {MaxSize: 4000, MaxFiles: 4, Compress: true},
		"compact": {MaxSize: 1000, MaxFiles: 4, Compress: true, Compact: true, Attrs: map[string]string{"a b": "c,d"}},
		"one":     {MaxSize: 4000},
		"large":   {MaxSize: 1 << 20, MaxFiles: 3},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			w := openWriter(t, path, c)
			const n = 700
			for _, line := range numbers(0, n) {
				w.Write(Stdout, []byte(line))
			}
			packed(t, w)
			files, err := filepath.Glob(path + "*")
			if err != nil || len(files) > max(1, c.MaxFiles) {
				t.Errorf("%v %v", files, err)
			}
			if gz := strings.Count(strings.Join(files, " "), ".gz"); c.Compress && gz != c.MaxFiles-1 {
				t.Errorf("%d packed files of %v", gz, files)
			}
			all := read(t, path, everything)
			if want := numbers(n-len(all), n); !slices.Equal(all, want) {
				t.Fatalf("got %q", all)
			}
			for _, tail := range []int{1, 20, 57, 77, 100, len(all), n} {
				o := everything
				o.Tail = tail
				if got, want := read(t, path, o), all[max(0, len(all)-tail):]; !slices.Equal(got, want) {
					t.Errorf("tail %d: %d entries, the first %q", tail, len(got), got[0])
				}
			}
		})
	}
}

// TestBatchIsRotated: what arrives at once is spread over files of the right size, and comes back whole.
func TestBatchIsRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := openWriter(t, path, Config{MaxSize: 300, MaxFiles: 300})
	w.Write(Stdout, []byte(strings.Join(numbers(0, 400), "")))
	if got := read(t, path, everything); !slices.Equal(got, numbers(0, 400)) {
		t.Errorf("%d entries", len(got))
	}
	files, _ := filepath.Glob(path + ".*")
	if len(files) < 80 {
		t.Errorf("%d files", len(files))
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() < 300 || info.Size() > 400 {
			t.Fatalf("%s: %v %v", f, info.Size(), err)
		}
	}
}

// TestFollowRotation: followers and readers from the beginning lose and double no line while the files are rotated and
// compressed under them, as long as the files that they have not read yet are kept.
func TestFollowRotation(t *testing.T) {
	const n = 20000
	path := filepath.Join(t.TempDir(), "log")
	w := openWriter(t, path, Config{MaxSize: 20000, MaxFiles: 1000, Compress: true})
	done := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			next := 0
			r := NewReader(path, everything, func(e Entry) error {
				if want := fmt.Sprintf("%06d\n", next); string(e.Line) != want {
					return fmt.Errorf("got %q, want %q", e.Line, want)
				}
				next++
				return nil
			})
			defer r.Close()
			if err := r.Follow(ctx, done); err != nil || next != n {
				t.Errorf("follower: %d entries, %v", next, err)
			}
		})
	}
	all.Go(func() {
		for {
			var got []string
			o := everything
			o.Tail = 5000
			err := Read(ctx, path, o, func(e Entry) error { got = append(got, string(e.Line)); return nil })
			if err != nil || len(got) > 0 && !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
				t.Errorf("reader: %d entries, %v", len(got), err)
				for i := 1; i < len(got); i++ {
					if got[i] <= got[i-1] {
						t.Errorf("%q comes after %q", got[i], got[i-1])
					}
				}
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for i := 0; i < n; i += 10 {
		w.Write(Stdout, []byte(strings.Join(numbers(i, i+10), "")))
	}
	close(done)
	all.Wait()
}

// TestCatchUp: what was read up to a Mark and what is written after it make the whole.
func TestCatchUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := openWriter(t, path, Config{MaxSize: 500, MaxFiles: 50})
	var got []string
	r := NewReader(path, everything, func(e Entry) error { got = append(got, string(e.Line)); return nil })
	defer r.Close()
	for i := 0; i < 100; i += 10 {
		w.Write(Stdout, []byte(strings.Join(numbers(i, i+10), "")))
		w.Write(Stdout, []byte("half"))
		p, partial := w.Mark()
		if string(partial[Stdout]) != "half" {
			t.Errorf("partial: %q", partial)
		}
		w.Write(Stdout, []byte(" after\n"))
		if i%20 == 0 {
			if err := r.CatchUp(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := r.CatchUp(t.Context(), &p); err != nil {
			t.Fatal(err)
		}
		if want := numbers(i, i+10); !slices.Equal(got[len(got)-10:], want) {
			t.Fatalf("up to %v: %q", p, got[len(got)-10:])
		}
	}
}

// TestRing: a Writer with a buffer never waits, and counts what it drops.
func TestRing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := openWriter(t, path, Config{Buffer: 1000})
	w.files.mu.Lock() // a disk that hangs
	for range 50 {
		w.Write(Stdout, []byte(strings.Join(numbers(0, 10), "")))
	}
	w.files.mu.Unlock()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got := read(t, path, everything)
	if len(got)+int(w.Dropped()) != 500 || w.Dropped() == 0 || len(got) < 10 {
		t.Errorf("%d entries, %d dropped", len(got), w.Dropped())
	}
}

// moveUp is the second step of a rotation.
func moveUp(path string) {
	for i := oldest(path); i > 0; i-- {
		_ = os.Rename(rotated(path, i), rotated(path, i+1))
	}
}

// TestKilledRotation: what a keeper leaves that is killed at any step of a rotation or compression is one log.
func TestKilledRotation(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"next file made": func(p string) error { return os.WriteFile(p+".new", []byte(`{"log":"x`), 0o600) },
		"files moved up": func(p string) error { moveUp(p); return nil },
		"linked": func(p string) error {
			moveUp(p)
			return os.Link(p, p+".1")
		},
		"half compressed": func(p string) error { return os.WriteFile(p+".gz.new", []byte{31, 139}, 0o600) },
		"torn":            func(p string) error { return os.Truncate(p, 250) },
		"zeros":           func(p string) error { return os.Truncate(p, 4000) },
	} {
		path := filepath.Join(t.TempDir(), "log")
		c := Config{MaxSize: 1000, MaxFiles: 9}
		w := openWriter(t, path, c)
		w.Write(Stdout, []byte(strings.Join(numbers(0, 40), "")))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		before := read(t, path, everything)
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		if name == "torn" {
			before = read(t, path, everything)
		}
		w = openWriter(t, path, c)
		w.Write(Stdout, []byte("after\n"))
		if got := read(t, path, everything); !slices.Equal(got, append(before, "after\n")) {
			t.Errorf("%s: %q, want %q", name, got, before)
		}
		if left, _ := filepath.Glob(path + "*.new"); len(left) > 0 {
			t.Errorf("%s: %v is left", name, left)
		}
	}
}

// TestTailOfLarge holds the promise that a tail costs the same however long the log is.
func TestTailOfLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	line := newEncoder(Config{}).append(nil, Stdout, time.Now(), []byte(strings.Repeat("x", 99)+"\n"))
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := int64(1 << 30)
	if err := f.Truncate(size); err != nil { // sparse: whoever reads it whole reads 1 GiB of zeros
		t.Fatal(err)
	}
	if _, err := f.WriteAt(append([]byte{'\n'}, bytes.Repeat(line, 200)...), size); err != nil {
		t.Fatal(err)
	}
	best := time.Hour
	for range 5 {
		began := time.Now()
		if got := read(t, path, Options{Stdout: true, Tail: 100}); len(got) != 100 {
			t.Fatalf("%d entries", len(got))
		}
		best = min(best, time.Since(began))
	}
	t.Logf("the last 100 of 1 GiB: %v", best)
	if best > 50*time.Millisecond {
		t.Errorf("the last 100 of 1 GiB took %v", best)
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range []Config{{}, {Attrs: map[string]string{"a": "b"}}, {Compact: true, Attrs: map[string]string{"a": "b"}}} {
		f.Add(newEncoder(c).append(nil, Stderr, time.Now(), []byte("text \"\\\n")))
	}
	f.Add([]byte(`{"time":"2026-01-02T05:00:00Z","attrs":{"a":"b"},"stream":"stdout","log":"other \u00e9\n"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var e Entry
		d := decoder{attrs: true}
		if d.decode(&e, line) != nil {
			return
		}
		text := bytes.Clone(e.Line)
		if len(text) == 0 || bytes.IndexByte(text[:len(text)-1], '\n') >= 0 {
			return
		}
		for _, compact := range []bool{false, true} { // what was read can be written and read again
			again := newEncoder(Config{Compact: compact, Attrs: e.Attrs}).append(nil, e.Stream, e.Time, text)
			var b Entry
			d := decoder{attrs: true}
			if err := d.decode(&b, again); err != nil || b.Stream != e.Stream || string(b.Line) != strings.ToValidUTF8(string(text), "\ufffd") && !compact && !sameRunes(string(text), b.Line) {
				t.Errorf("%q becomes %q: %v", text, b.Line, err)
			}
		}
	})
}
