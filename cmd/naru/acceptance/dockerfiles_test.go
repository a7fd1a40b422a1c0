package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// dockerfile is one case of the table of Dockerfiles: what is built, by BuildKit's API as buildx does it, and must give the
// same image as dockerd gives: files, configuration, history and warnings; or the same error. What a dockerd gave is kept in
// testdata/dockerfiles.golden, with which naru is compared everywhere, and dockerd itself where it is there.
//
// In all texts {BASE} is a small Debian, {N} a name of the case's own, {FIRST} the image of the Dockerfile first, {WEB} the address
// of a server with the files of webFiles, and a repository /repo.git.
type dockerfile struct {
	name     string
	first    string            // a Dockerfile that is built before
	text     string            // the Dockerfile
	files    map[string]string // of the context: see writeFiles
	named    map[string]map[string]string
	attrs    map[string]string // of the frontend: "target", "build-arg:X", "filename", …
	secrets  map[string]string
	ssh      bool     // an agent with a key is forwarded
	allow    []string // entitlements that the client grants
	since    string   // the API version of the first dockerd that does so; where the peer is older, the golden text comes from naru
	differs  string   // why naru means to differ from dockerd, a line of docs/compat.md; the golden text comes from naru
	loopback bool     // works on the engine's own loopback, which is not that of the tests in the VM
	machine  bool     // in every run of the tests, also in the VM
}

// dockerfiles is all cases; NARU_TEST_ROW, a regular expression, picks some by name.
var dockerfiles = slices.Concat(
	dockerfilesFrom, dockerfilesSyntax, dockerfilesConfig, dockerfilesArg,
	dockerfilesRun, dockerfilesMount,
	dockerfilesCopy, dockerfilesAdd, dockerfilesIgnore,
)

const goldenFile = "testdata/dockerfiles.golden"

// TestDockerfiles builds the table. NARU_TEST_RECORD=1 writes the golden file anew, from what dockerd says.
func TestDockerfiles(t *testing.T) {
	pick, err := regexp.Compile(os.Getenv("NARU_TEST_ROW"))
	if err != nil {
		t.Fatal(err)
	}
	registry(t)
	if err := inRegistry("tiny"); err != nil {
		t.Fatal(err)
	}
	peer := dockerBuilder(t)
	golden := readGolden(t)
	for _, context := range contexts {
		t.Run(context, func(t *testing.T) {
			ours := naruBuilder(t, context)
			for i, d := range dockerfiles {
				if !pick.MatchString(d.name) || !d.runs(i, context) {
					continue
				}
				t.Run(d.name, func(t *testing.T) { runDockerfile(t, i, &d, ours, peer, golden) })
			}
		})
	}
	if os.Getenv("NARU_TEST_RECORD") != "" {
		golden.write(t)
	}
}

// oneOf is how many of the cases run directly in every run of the tests, where NARU_TEST_FULL=1 is not set. All of them take two minutes.
const oneOf = 12

// runs tells whether a case runs in a context. With NARU_TEST_FULL=1, or when they are picked by name, all that can do.
func (d *dockerfile) runs(i int, context string) bool {
	switch {
	case context == "machine" && d.loopback:
		return false
	case os.Getenv("NARU_TEST_FULL") != "", os.Getenv("NARU_TEST_RECORD") != "", os.Getenv("NARU_TEST_ROW") != "":
		return true
	}
	return d.machine || context == "direct" && i%oneOf == 0
}

func runDockerfile(t *testing.T, i int, d *dockerfile, ours, peer *builder, golden goldens) {
	theirs := ""
	var wg sync.WaitGroup
	if peer != nil && d.differs == "" && (d.since == "" || !apiLess(peer.newest, d.since)) && ours.context == "direct" {
		wg.Go(func() { theirs = peer.outcome(t, i, d) })
	}
	got := ours.outcome(t, i, d)
	wg.Wait()
	if os.Getenv("NARU_TEST_RECORD") != "" {
		golden[d.name] = got
		if theirs != "" {
			golden[d.name] = theirs
		}
	}
	want := golden[d.name]
	if theirs != "" && theirs != want {
		t.Errorf("dockerd does otherwise than %s says:\n%s", goldenFile, goldenDiff(want, theirs))
	}
	if got != want {
		t.Errorf("naru does otherwise than %s says:\n%s", goldenFile, goldenDiff(want, got))
	}
}

// goldenDiff are the lines that only one has.
func goldenDiff(want, got string) string {
	return "want\n" + linesOnlyIn(want, got) + "got\n" + linesOnlyIn(got, want) + "\nall of it:\n" + got
}

// goldens are the wanted outcomes by the case's name.
type goldens map[string]string

const goldenMark = "=== "

func readGolden(t *testing.T) goldens {
	t.Helper()
	data, err := os.ReadFile(goldenFile)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	g := goldens{}
	for _, part := range strings.Split("\n"+string(data), "\n"+goldenMark)[1:] {
		name, text, _ := strings.Cut(part, "\n")
		g[name] = strings.TrimSuffix(text, "\n") + "\n"
	}
	return g
}

// write writes those of the table's cases, in its order.
func (g goldens) write(t *testing.T) {
	t.Helper()
	var out strings.Builder
	for _, d := range dockerfiles {
		if text, ok := g[d.name]; ok {
			fmt.Fprintf(&out, "%s%s\n%s", goldenMark, d.name, text)
		}
	}
	if err := os.MkdirAll(filepath.Dir(goldenFile), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenFile, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDockerfilesTable: each case has a name of its own and a golden outcome.
func TestDockerfilesTable(t *testing.T) {
	golden := readGolden(t)
	seen := map[string]bool{}
	for _, d := range dockerfiles {
		if seen[d.name] {
			t.Errorf("two cases are called %q", d.name)
		}
		seen[d.name] = true
		if golden[d.name] == "" {
			t.Errorf("%s has nothing of %q; run it with NARU_TEST_RECORD=1", goldenFile, d.name)
		}
	}
	for name := range golden {
		if !seen[name] {
			t.Errorf("%s has %q, which is no case", goldenFile, name)
		}
	}
}
