package acceptance

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// folderSteps are what host (h) and container (c) do in one folder, in turn; what is printed must be what is said, on a VM's
// share as well as directly. Nothing is waited for in between: what one side has done the other sees.
var folderSteps = []folderStep{
	// What was there when it was first read is grown, cut and replaced by the other side.
	{"h", "write f one", ""}, {"c", "read f", "one"},
	{"h", "write f longer%20than%20before", ""}, {"c", "read f", "longer than before"},
	{"h", "truncate f 6", ""}, {"c", "read f", "longer"}, {"c", "stat f", "100644 0:0 links=1 size=6"},
	{"h", "truncate f 0", ""}, {"h", "append f grown%20again", ""}, {"c", "read f", "grown again"},
	{"c", "truncate f 5", ""}, {"h", "read f", "grown"}, {"c", "write f by%20the%20container", ""}, {"h", "read f", "by the container"},
	// The same length, another content.
	{"h", "write f 11111", ""}, {"c", "read f", "11111"}, {"h", "write f 22222", ""}, {"c", "read f", "22222"},
	// As editors save.
	{"h", "write f.tmp new", ""}, {"h", "rename f.tmp f", ""}, {"c", "read f", "new"}, {"c", "read f.tmp", "error no such file or directory"},
	{"c", "write g.tmp newer", ""}, {"c", "rename g.tmp f", ""}, {"h", "read f", "newer"},
	// A file that is open keeps its content when another takes its name.
	{"c", "hold f", ""}, {"h", "write o other", ""}, {"h", "rename o f", ""}, {"c", "heldread f", "newer"}, {"c", "read f", "other"}, {"c", "drop f", ""},
	// A file that is open hears what is written by others.
	{"h", "write log a", ""}, {"c", "hold log", ""}, {"c", "heldread log", "a"}, {"h", "append log b", ""}, {"c", "heldread log", "ab"},
	{"c", "append log c", ""}, {"h", "append log d", ""}, {"c", "append log e", ""}, {"c", "heldread log", "abcde"}, {"h", "read log", "abcde"}, {"c", "drop log", ""},
	// Names that appear and go.
	{"c", "stat n", "error no such file or directory"}, {"h", "write n x", ""}, {"c", "read n", "x"}, {"h", "remove n", ""}, {"c", "read n", "error no such file or directory"},
	{"h", "mkdir n 0755", ""}, {"c", "stat n", "40755 0:0 links=2 size=4096"}, {"c", "names n", ""}, {"h", "write n/a x", ""}, {"c", "names n", "a"}, {"h", "remove n/a", ""}, {"c", "names n", ""},
	// Shared mappings.
	{"h", "write m 0123456789", ""}, {"c", "mmap m 2 AB", "01AB456789"}, {"h", "read m", "01AB456789"},
	{"h", "mmap m 4 CD", "01ABCD6789"}, {"c", "mmap m 9 E", "01ABCD678E"}, {"h", "mmap m 0 F", "F1ABCD678E"}, {"c", "read m", "F1ABCD678E"},
	// Names of all kinds.
	{"h", "write " + url.PathEscape("ein leerer  Name") + " 1", ""}, {"c", "read " + url.PathEscape("ein leerer  Name"), "1"},
	{"c", "write " + url.PathEscape("나루 — Ünï 🚣 'q' \"d\" \\ $x") + " 2", ""}, {"h", "read " + url.PathEscape("나루 — Ünï 🚣 'q' \"d\" \\ $x"), "2"},
	{"h", "write %ff%fe 3", ""}, {"c", "read %ff%fe", "3"}, {"c", "write " + strings.Repeat("l", 255) + " 4", ""}, {"h", "read " + strings.Repeat("l", 255), "4"},
	// Owner and mode: those that the container says, and the owner of what it makes.
	{"c", "mkdir pg 0700", ""}, {"h", "stat pg", "40700 0:0 links=2 size=4096"}, {"c", "chown pg 999 999", ""}, {"h", "stat pg", "40700 999:999 links=2 size=4096"},
	{"c", "write own x", ""}, {"h", "stat own", "100644 0:0 links=1 size=1"}, {"c", "chmod own 0600", ""}, {"h", "stat own", "100600 0:0 links=1 size=1"},
	{"c", "chmod own 04711", ""}, {"h", "stat own", "104711 0:0 links=1 size=1"}, {"h", "chown own 1000 1000", ""}, {"c", "stat own", "100711 1000:1000 links=1 size=1"},
	// Hard links, symbolic links, pipes, attributes.
	{"c", "link own own2", ""}, {"h", "stat own2", "100711 1000:1000 links=2 size=1"}, {"h", "append own y", ""}, {"c", "read own2", "xy"},
	{"h", "remove own2", ""}, {"c", "stat own", "100711 1000:1000 links=1 size=2"}, {"h", "symlink s own", ""}, {"c", "read s", "xy"}, {"c", "mkfifo p", ""}, {"h", "stat p", "10600 0:0 links=1 size=0"},
	{"c", "setxattr own user.naru yes", ""}, {"h", "getxattr own user.naru", "yes"}, {"h", "setxattr own user.naru no", ""}, {"c", "getxattr own user.naru", "no"},
}

// manySteps are files by the thousand: NARU_TEST_FILES of them, made by either side.
func manySteps() []folderStep {
	n := 400
	if more, err := strconv.Atoi(os.Getenv("NARU_TEST_FILES")); err == nil {
		n = more
	}
	fill, want := strconv.Itoa(n), fmt.Sprintf("%d %d", n, n*(n-1)/2)
	return []folderStep{
		{"c", "mkdir many 0755", ""}, {"c", "fill many " + fill, ""}, {"h", "count many", want},
		{"h", "mkdir more 0755", ""}, {"h", "fill more " + fill, ""}, {"c", "count more", want}, {"h", "remove more", ""}, {"c", "names more", "error no such file or directory"},
	}
}

type folderStep struct{ side, do, want string }

// peer runs testdata/folders somewhere.
type peer struct {
	in  io.Writer
	out *bufio.Scanner
}

func startPeer(t *testing.T, cmd *exec.Cmd) *peer {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, said.String())
		}
	})
	return &peer{in, bufio.NewScanner(out)}
}

func (p *peer) do(line string) string {
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		return err.Error()
	}
	if !p.out.Scan() {
		return fmt.Sprint("ended: ", p.out.Err())
	}
	text, err := url.PathUnescape(p.out.Text())
	if err != nil {
		return err.Error()
	}
	return text
}

// TestFolders: a shared folder is one folder, whoever looks at it and whenever.
func TestFolders(t *testing.T) {
	program := filepath.Join(t.TempDir(), "folders")
	build := exec.Command("go", "build", "-o", program, "./testdata/folders")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			img := w.image(t, "bookworm")
			dir := filepath.Join(w.work, "folder truth")
			if err := os.MkdirAll(filepath.Join(dir, "d"), 0o755); err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			if out, err := exec.Command("cp", program, dir).CombinedOutput(); err != nil {
				t.Fatal(string(out))
			}
			host := exec.Command(program)
			host.Dir = filepath.Join(dir, "d")
			guest := exec.Command(filepath.Join(root, "bin/naru"), "run", "--rm", "-i", "-v", dir+":/s", "-w", "/s/d", img, "/s/folders")
			guest.Env = w.env
			sides := map[string]*peer{"h": startPeer(t, host), "c": startPeer(t, guest)}
			for i, s := range slices.Concat(folderSteps, manySteps()) {
				if got := sides[s.side].do(s.do); got != s.want {
					t.Errorf("step %d, %s %s: %q, want %q", i, s.side, s.do, got, s.want)
				}
			}
		})
	}
}
