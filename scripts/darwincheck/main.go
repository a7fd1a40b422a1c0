// Darwincheck type-checks naru's packages as a Mac with cgo would compile them, on any OS: no compiler for macOS is
// needed, since calls into C are taken as they are (types.Config.FakeImportC), and the bodies of functions are checked
// in our own packages only. It also looks for what our code relies on beyond types.
//
//	go run ./scripts/darwincheck ./cmd/naru-machine ./platform/...
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	failed := false
	for _, arch := range []string{"arm64", "amd64"} {
		problems, err := check(arch, os.Args[1:])
		if err != nil {
			fmt.Fprintln(os.Stderr, "darwincheck:", err)
			os.Exit(1)
		}
		for _, p := range problems {
			fmt.Fprintf(os.Stderr, "darwincheck: %s: %s\n", arch, p)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// pkg is what `go list -json` tells of a package.
type pkg struct {
	ImportPath, Dir, Name string
	Standard              bool
	GoFiles, CgoFiles     []string
	ImportMap             map[string]string
	Module                *struct{ Main bool }
	Error                 *struct{ Err string }
}

func (p *pkg) ours() bool { return p.Module != nil && p.Module.Main }

// check returns what does not fit together on darwin with cgo.
func check(arch string, patterns []string) (problems []string, err error) {
	pkgs, err := list(arch, patterns)
	if err != nil {
		return nil, err
	}
	c := &checker{fset: token.NewFileSet(), done: map[string]*types.Package{"unsafe": types.Unsafe}, sizes: types.SizesFor("gc", arch)}
	for _, p := range pkgs { // what a package imports comes before it
		c.check(p)
	}
	if vz := c.done["github.com/Code-Hex/vz/v3"]; vz != nil {
		c.relies(vz)
	}
	return c.problems, nil
}

func list(arch string, patterns []string) ([]*pkg, error) {
	cmd := exec.Command("go", append([]string{"list", "-e", "-deps", "-json=ImportPath,Dir,Name,Standard,GoFiles,CgoFiles,ImportMap,Module,Error"}, patterns...)...)
	cmd.Env = append(os.Environ(), "GOOS=darwin", "GOARCH="+arch, "CGO_ENABLED=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var pkgs []*pkg
	for in := json.NewDecoder(bytes.NewReader(out)); ; {
		p := &pkg{}
		if err := in.Decode(p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		pkgs = append(pkgs, p)
	}
}

type checker struct {
	fset     *token.FileSet
	done     map[string]*types.Package
	sizes    types.Sizes
	problems []string
}

func (c *checker) report(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (c *checker) check(p *pkg) {
	if p.ImportPath == "unsafe" {
		return
	}
	if p.Error != nil && p.ours() {
		c.report("%s: %s", p.ImportPath, p.Error.Err)
	}
	var files []*ast.File
	for _, name := range append(p.GoFiles, p.CgoFiles...) {
		f, err := parser.ParseFile(c.fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil && p.ours() {
			c.report("%v", err)
		}
		files = append(files, f)
	}
	conf := types.Config{
		FakeImportC: true, IgnoreFuncBodies: !p.ours(), Sizes: c.sizes,
		Importer: importer{c, p},
		Error: func(err error) {
			if p.ours() {
				c.report("%v", err)
			}
		},
	}
	c.done[p.ImportPath], _ = conf.Check(p.ImportPath, c.fset, files, nil) // errors went to Error
}

type importer struct {
	c *checker
	p *pkg
}

func (i importer) Import(path string) (*types.Package, error) {
	if mapped, ok := i.p.ImportMap[path]; ok {
		path = mapped
	}
	if found := i.c.done[path]; found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("no package %s", path)
}

// relies checks the field that platform/vz takes out of a stream by its name.
func (c *checker) relies(vz *types.Package) {
	stream := vz.Scope().Lookup("VirtioSocketConnection")
	if stream != nil {
		if s, ok := stream.Type().Underlying().(*types.Struct); ok {
			for f := range s.Fields() {
				if f.Name() == "rawConn" && strings.HasSuffix(f.Type().String(), "net.Conn") {
					return
				}
			}
		}
	}
	c.report("vz.VirtioSocketConnection has no field rawConn of type net.Conn, which platform/vz unwraps")
}
