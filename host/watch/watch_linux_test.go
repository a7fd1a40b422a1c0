package watch

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// guest is the other end of a stream.
type guest struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Scanner
}

func serve(t *testing.T, o Options) *guest {
	t.Helper()
	ours, theirs := net.Pipe()
	o.Log = slog.New(slog.DiscardHandler)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = Serve(context.Background(), theirs, o) // its end is seen at ours
	}()
	t.Cleanup(func() { _ = ours.Close(); <-done })
	in := bufio.NewScanner(ours)
	in.Buffer(nil, api.MaxWatchLine)
	return &guest{t, ours, in}
}

func (g *guest) ask(r api.WatchRequest) {
	g.t.Helper()
	if err := json.NewEncoder(g.conn).Encode(r); err != nil {
		g.t.Fatal(err)
	}
}

// until reads events until one of this name is created.
func (g *guest) until(name string) (out []string) {
	g.t.Helper()
	_ = g.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	for g.in.Scan() {
		var batch api.WatchEvents
		if err := json.Unmarshal(g.in.Bytes(), &batch); err != nil {
			g.t.Fatal(err)
		}
		for _, ev := range batch.Events {
			if string(ev.Name) == name {
				return out
			}
			out = append(out, fmt.Sprintf("%x %d/%s %d/%s", uint32(ev.Kind), ev.Folder, ev.Name, ev.To, ev.ToName))
		}
	}
	g.t.Fatalf("the stream ended: %v; before: %q", g.in.Err(), out)
	return nil
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// settled waits until what was asked for is watched: the answer to a request that was handled is an event.
func (g *guest) settled(id uint64, dir string) {
	g.t.Helper()
	g.ask(api.WatchRequest{Add: []api.WatchFolder{{ID: id, Path: dir}}})
	g.ask(api.WatchRequest{}) // a pipe: taken only when the one before is done
}

func TestEventsOfBothSources(t *testing.T) {
	for name, open := range map[string]func() (source, error){
		"fanotify": func() (source, error) { return newFanotify(nil) }, "inotify": newInotify,
	} {
		t.Run(name, func(t *testing.T) {
			src, err := open()
			if err != nil {
				t.Skipf("%s: %v", name, err)
			}
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
			for id, path := range map[uint64]string{1: dir, 2: filepath.Join(dir, "sub")} {
				f, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := src.add(id, f); err != nil {
					t.Fatal(err)
				}
			}
			events := make(chan api.FileEvent, 1000)
			done := pump(src, events)
			script := []func() error{
				func() error { return os.Mkdir(filepath.Join(dir, "a"), 0o755) },
				func() error { return os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "sub/b")) },
				func() error { return os.Rename(filepath.Join(dir, "sub/b"), filepath.Join(dir, "sub/c")) },
				func() error { return os.Rename(filepath.Join(dir, "sub/c"), filepath.Join(t.TempDir(), "away")) },
			}
			want := []string{"40000100 1/a 0/", "400000c0 1/a 2/b", "400000c0 2/b 2/c", "40000040 2/c 0/"}
			for i, do := range script {
				if err := do(); err != nil {
					t.Fatal(err)
				}
				touchDir(t, filepath.Join(dir, fmt.Sprint("end", i)))
				got := until(t, events, fmt.Sprint("end", i))
				if strings.Join(got, ", ") != want[i] {
					t.Errorf("step %d: %q, want %q", i, got, want[i])
				}
			}
			src.remove(1)
			src.remove(2)
			if err := src.close(); err != nil {
				t.Error(err)
			}
			<-done
		})
	}
}

// pump runs a source until it is closed.
func pump(src source, events chan api.FileEvent) chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = src.run(func(ev api.FileEvent) { events <- ev })
	}()
	return done
}

func touchDir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, events chan api.FileEvent, name string) (out []string) {
	t.Helper()
	for {
		select {
		case ev := <-events:
			if string(ev.Name) == name {
				return out
			}
			out = append(out, fmt.Sprintf("%x %d/%s %d/%s", uint32(ev.Kind), ev.Folder, ev.Name, ev.To, ev.ToName))
		case <-time.After(30 * time.Second):
			t.Fatalf("no event of %s; before: %q", name, out)
		}
	}
}

// TestOnlyInShares: the guest names a path, and may lie.
func TestOnlyInShares(t *testing.T) {
	share, outside := t.TempDir(), t.TempDir()
	for _, dir := range []string{"in", "deep/er"} {
		if err := os.MkdirAll(filepath.Join(share, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(share, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(share, "in"), filepath.Join(share, "deep/link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(share, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := serve(t, Options{Shares: []string{share}})
	id := uint64(0)
	for _, path := range []string{
		outside, share + "/link", share + "/link/x", share + "/../" + filepath.Base(outside), share + "/in/..", share + "x", "/", "", ".", "in",
		share + "/deep/link", share + "/pipe", share + "/gone", share + "/", "/proc/self/cwd", share + "/\x00",
	} {
		id++
		g.ask(api.WatchRequest{Add: []api.WatchFolder{{ID: id, Path: path}}})
	}
	g.settled(100, filepath.Join(share, "deep/er"))
	touch(t, filepath.Join(outside, "secret"))
	touch(t, filepath.Join(share, "in/file"))
	touch(t, filepath.Join(share, "deep/er/end"))
	if got := g.until("end"); len(got) > 0 {
		t.Errorf("events of what is not in the share, or behind a link: %q", got)
	}
}

// TestGuestsOwnChangesAreNotTold where the system says who made them.
func TestGuestsOwnChangesAreNotTold(t *testing.T) {
	if src, err := newFanotify(nil); err != nil {
		t.Skipf("%v; it takes root", err)
	} else {
		_ = src.close()
	}
	share := t.TempDir()
	own := true
	g := serve(t, Options{Shares: []string{share}, Guests: func(pid int) bool {
		if pid != os.Getpid() {
			t.Errorf("process %d, this is %d", pid, os.Getpid())
		}
		_, err := os.Stat(filepath.Join(share, "end"))
		return own && err != nil
	}})
	g.settled(1, share)
	touch(t, filepath.Join(share, "mine"))
	touch(t, filepath.Join(share, "end"))
	if got := g.until("end"); len(got) > 1 {
		t.Errorf("told: %q", got)
	}
}

// TestBrokenRulesEndTheStream: numbers come once, lines are short.
func TestBrokenRulesEndTheStream(t *testing.T) {
	share := t.TempDir()
	many := make([]api.WatchFolder, api.MaxWatchFolders+1)
	for name, send := range map[string]any{
		"zero": api.WatchRequest{Add: []api.WatchFolder{{Path: share}}}, "twice": api.WatchRequest{Add: []api.WatchFolder{{ID: 1, Path: share}, {ID: 1, Path: share}}},
		"many": api.WatchRequest{Add: many}, "long": strings.Repeat("x", api.MaxWatchLine+1), "no object": 7,
	} {
		t.Run(name, func(t *testing.T) {
			g := serve(t, Options{Shares: []string{share}})
			_ = json.NewEncoder(g.conn).Encode(send) // a long line is cut off
			_ = g.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
			if g.in.Scan() {
				t.Errorf("answered %q", g.in.Text())
			}
			if err := g.in.Err(); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Error("the stream stays")
			}
		})
	}
}

func FuzzFanotifyRecords(f *testing.F) {
	f.Add([]byte(strings.Repeat("\x1c\x00\x00\x00\x03\x00\x18\x00", 8)))
	f.Fuzz(func(t *testing.T, data []byte) {
		fan := &fanotify{byKey: map[string][]uint64{"": {1}}, guests: func(int) bool { return false }}
		fan.parse(data, func(api.FileEvent) {})
		in := &inotify{byWD: map[int32][]uint64{1: {1, 2}}}
		in.parse(data, func(api.FileEvent) {})
	})
}

// FuzzRequests: whatever the guest says, nothing outside the share is opened.
func FuzzRequests(f *testing.F) {
	f.Add([]byte(`{"add":[{"id":1,"path":"/tmp"}],"remove":[1]}`))
	f.Add([]byte(`{"add":[{"id":1,"path":"/s/../etc"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		share := t.TempDir()
		dir, err := os.Open(share)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		src := &recorder{}
		s := &stream{o: Options{Log: slog.New(slog.DiscardHandler)}, src: src, shares: []root{{"/s", dir}}, folders: map[uint64]bool{}}
		_ = s.requests(strings.NewReader(string(data))) // an error ends the stream
		for _, path := range src.opened {
			if path != share {
				t.Errorf("opened %s", path)
			}
		}
	})
}

// recorder is a source that remembers what it should watch.
type recorder struct{ opened []string }

func (r *recorder) add(_ uint64, dir *os.File) error {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
	r.opened = append(r.opened, path)
	_ = dir.Close()
	return err
}
func (r *recorder) remove(uint64)                 {}
func (r *recorder) run(func(api.FileEvent)) error { return nil }
func (r *recorder) close() error                  { return nil }
