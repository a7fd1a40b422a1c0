package acceptance

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWatch: inotifywait in a container hears what is done on the host, as if it had been done beside it, and what a
// container does just once; nothing of that touches a file.
func TestWatch(t *testing.T) {
	if _, err := exec.LookPath("inotifywait"); err != nil {
		t.Skipf("%v; run `scripts/setup test`", err)
	}
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			img := w.image(t, "bookworm")
			dir := filepath.Join(w.work, "watch")
			w.sh(t, "mkdir -p watch/d/sub watch/bin; echo one >watch/d/file; echo one >watch/d/still")
			defer os.RemoveAll(dir)
			bring(t, "inotifywait", filepath.Join(dir, "bin"))
			events, stop := w.watcher(t, dir, img)
			defer stop()
			at := func(name string) string { return filepath.Join(dir, "d", name) }
			old := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
			for _, step := range []struct {
				what string
				do   func() error
				want string
			}{
				{"create", func() error { return os.WriteFile(at("new"), []byte("x"), 0o644) }, "new CREATE, new MODIFY, new CLOSE_WRITE,CLOSE"},
				{"append", func() error { return appendTo(at("file"), "two") }, "file MODIFY, file CLOSE_WRITE,CLOSE"},
				{"mode", func() error { return os.Chmod(at("file"), 0o600) }, "file ATTRIB"},
				{"rename", func() error { return os.Rename(at("new"), at("renamed")) }, "new MOVED_FROM, renamed MOVED_TO"},
				{"move", func() error { return os.Rename(at("renamed"), at("sub/moved")) }, "renamed MOVED_FROM, sub/moved MOVED_TO"},
				{"move away", func() error { return os.Rename(at("sub/moved"), filepath.Join(dir, "away")) }, "sub/moved MOVED_FROM"},
				{"move back over another", func() error { return os.Rename(filepath.Join(dir, "away"), at("file")) }, "file MOVED_TO"},
				{"mkdir", func() error { return os.Mkdir(at("made"), 0o755) }, "made CREATE,ISDIR"},
				{"rmdir", func() error { return os.Remove(at("made")) }, "made DELETE,ISDIR"},
				{"remove", func() error { return os.Remove(at("file")) }, "file DELETE"},
				{"times", func() error { return os.Chtimes(at("still"), old, old) }, "still ATTRIB"},
				{"own", func() error { w.sh(t, "naru exec watch sh -c 'echo x >/s/d/own; rm /s/d/own'"); return nil }, "own CREATE, own MODIFY, own CLOSE_WRITE,CLOSE, own DELETE"},
				{"odd names", func() error { return os.Mkdir(at("나루 \xff"), 0o755) }, "나루 \xff CREATE,ISDIR"},
			} {
				if err := step.do(); err != nil {
					t.Fatal(err)
				}
				// What comes between this change and the next, which everybody hears.
				mark := fmt.Sprintf("mark-%s", strings.ReplaceAll(step.what, " ", "-"))
				if err := os.Mkdir(at(mark), 0o755); err != nil {
					t.Fatal(err)
				}
				var got []string
				for line := range events {
					if line == mark+" CREATE,ISDIR" {
						break
					}
					if !strings.HasPrefix(line, "mark-") && !slices.Contains(got[max(0, len(got)-1):], line) {
						got = append(got, line)
					}
				}
				if strings.Join(got, ", ") != step.want {
					t.Errorf("%s: %q, want %q", step.what, strings.Join(got, ", "), step.want)
				}
			}
			if info, err := os.Stat(at("still")); err != nil || !info.ModTime().Equal(old) {
				t.Errorf("a watched file has the time %v, error %v", info.ModTime(), err)
			}
		})
	}
}

// watcher runs inotifywait in a container, and gives its events once they come from the host too.
func (w *world) watcher(t *testing.T, dir, img string) (<-chan string, func()) {
	t.Helper()
	cmd := exec.Command(filepath.Join(root, "bin/naru"), "run", "--rm", "--name", "watch", "-e", "LD_LIBRARY_PATH=/s/bin", "-v", dir+":/s", img,
		"/s/bin/inotifywait", "-q", "-m", "-r", "-e", "modify,attrib,close_write,move,create,delete", "--format", "%w%f %e", "/s/d")
	cmd.Env = w.env
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	events := make(chan string, 1000)
	go func() {
		defer close(events)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			events <- strings.TrimPrefix(lines.Text(), "/s/d/")
		}
	}()
	stop := func() {
		w.exec(result{script: "naru rm -f watch"})
		_ = cmd.Wait() // it was killed
	}
	deadline := time.After(2 * time.Minute)
	for i := 0; ; i++ {
		probe := fmt.Sprintf("mark-%d", i)
		if err := os.Mkdir(filepath.Join(dir, "d", probe), 0o755); err != nil {
			t.Fatal(err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-deadline:
			stop()
			t.Fatal("nothing is heard: ", said.String())
		case line, ok := <-events:
			for ok && line != probe+" CREATE,ISDIR" {
				line, ok = <-events
			}
			if !ok {
				t.Fatal(said.String())
			}
			return events, stop
		}
	}
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// bring copies a program of the host and its libraries into a folder.
func bring(t *testing.T, program, dir string) {
	t.Helper()
	script := `set -e; p=$(readlink -f "$(command -v "$1")"); cp "$p" "$2/$1"; ldd "$p" | awk '/=> \// { print $3 }' | grep -v '/libc.so' | xargs -r cp -L -t "$2"`
	if out, err := exec.Command("bash", "-c", script, "bash", program, dir).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", program, err, out)
	}
}

// TestDevServer: a server that watches its source is a new one after an edit on the host.
func TestDevServer(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skipf("%v; run `scripts/setup test`", err)
	}
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			img := w.image(t, "bookworm")
			dir := filepath.Join(w.work, "devserver")
			w.sh(t, "mkdir -p devserver/bin devserver/src")
			defer os.RemoveAll(dir)
			bring(t, "node", filepath.Join(dir, "bin"))
			source := filepath.Join(dir, "src/text.js")
			main := `require("http").createServer((_, res) => res.end(require("./text.js"))).listen(80)`
			if err := os.WriteFile(filepath.Join(dir, "src/main.js"), []byte(main), 0o644); err != nil {
				t.Fatal(err)
			}
			write := func(version string) {
				if err := os.WriteFile(source, []byte(`module.exports = "`+version+`"`), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			write("first")
			w.sh(t, "naru run -d --name devserver -p 80 -e LD_LIBRARY_PATH=/s/bin -w /s/src -v $PWD/devserver:/s "+img+" /s/bin/node --watch main.js")
			defer w.exec(result{script: "naru rm -f devserver"})
			url := "http://" + w.sh(t, "naru port devserver 80 | head -1")
			serves(t, w, url, "first")
			for _, version := range []string{"second", "third"} {
				write(version)
				serves(t, w, url, version)
			}
		})
	}
}

// serves waits until a server says text.
func serves(t *testing.T, w *world, url, text string) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		res, err := http.Get(url)
		if err != nil {
			last = err.Error()
			continue
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if last = string(body); err == nil && last == text {
			return
		}
	}
	t.Fatalf("%s says %q, want %q: %s", url, last, text, w.exec(result{script: "naru logs devserver"}))
}
