package platform

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arrows says which of our packages a package may import. The first matching row counts; "dir/*" matches dir and all
// below it. Everything points downwards (cmd, host, platform), and the host knows of the guest only guest/api, so
// that a macOS or Windows build never drags the engine in, and a backend can be written without reading the host.
var arrows = []struct {
	from string
	to   []string
}{
	{"platform/backend", []string{"platform/*"}},
	{"platform/qemu", []string{"platform", "platform/console", "platform/vhostvsock", "platform/qemu/*"}},
	{"platform/vz", []string{"platform", "platform/console"}},
	{"platform/hcs", []string{"platform", "platform/console"}},
	{"platform/platformtest", []string{"platform"}},
	{"platform/*", []string{"platform"}},
	{"guest/api", nil},
	{"guest/server", []string{"guest/api", "guest/engine/*", "guest/keeper/keeperapi", "guest/logfile"}},
	{"guest/engine/*", []string{"guest/api", "guest/engine/*", "guest/runtime", "guest/cgroup", "guest/ps", "guest/logfile", "guest/modules", "guest/keeper/keeperapi"}},
	{"guest/keeper/keeperapi", []string{"guest/logfile"}}, // how a log is written goes over the wire
	{"guest/keeper/*", []string{"guest/api", "guest/keeper/*", "guest/logfile"}},
	{"guest/boot", []string{"guest/api", "guest/modules"}},
	{"guest/*", []string{"guest/*"}},
	{"vmimage/*", []string{"vmimage/*", "guest/api"}},
	{"host/*", []string{"host/*", "platform/*", "guest/api"}},
	{"cmd/naru", []string{"cmd/naru/*", "host/*", "platform/paths", "platform/ipc", "guest/api"}},
	{"cmd/*", []string{"*"}},
	{"scripts/manpages", []string{"cmd/naru/cli"}},
}

// testArrows is what test files may import beside that: only a real guest proves a backend.
var testArrows = []struct {
	from string
	to   []string
}{
	{"platform/*", []string{"platform/platformtest", "guest/api"}},
}

// TestArrows reads the imports of every Go file, whatever its build tags: a linter sees only its own GOOS.
func TestArrows(t *testing.T) {
	root := ".."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "out" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		from := filepath.ToSlash(filepath.Dir(rel))
		for _, imp := range file.Imports {
			to, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			to, ours := strings.CutPrefix(to, "naru/")
			if ours && to != from && !mayImport(from, to) && !(strings.HasSuffix(path, "_test.go") && testMayImport(from, to)) {
				t.Errorf("%s: %s must not import %s; the table in this file says what it may", rel, from, to)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func mayImport(from, to string) bool {
	for _, row := range arrows {
		if !matches(row.from, from) {
			continue
		}
		for _, pattern := range row.to {
			if matches(pattern, to) {
				return true
			}
		}
		return false
	}
	return false
}

func testMayImport(from, to string) bool {
	for _, row := range testArrows {
		if matches(row.from, from) {
			return slices.ContainsFunc(row.to, func(pattern string) bool { return matches(pattern, to) })
		}
	}
	return false
}

func matches(pattern, pkg string) bool {
	if pattern == "*" {
		return true
	}
	if dir, ok := strings.CutSuffix(pattern, "/*"); ok {
		return pkg == dir || strings.HasPrefix(pkg, dir+"/")
	}
	return pkg == pattern
}
