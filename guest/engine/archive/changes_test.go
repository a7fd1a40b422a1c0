package archive

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// overlay mounts one on two layers, and returns it with its folders.
func overlay(t *testing.T) (merged string, o *Overlay) {
	t.Helper()
	needRoot(t)
	base := t.TempDir()
	at := func(name string) string { return filepath.Join(base, name) }
	for _, dir := range []string{"low/keep", "low/gone/sub", "low/opaque", "low/same", "top", "upper", "work", "merged", "lower"} {
		must(t, os.MkdirAll(at(dir), 0o755))
	}
	for _, file := range []string{"low/keep/f", "low/keep/touched", "low/gone/f", "low/gone/sub/f", "low/opaque/old", "low/opaque/stays", "low/same/f", "low/file", "low/becomes-dir", "top/of-top"} {
		must(t, os.WriteFile(at(file), []byte(file), 0o644))
	}
	must(t, unix.Mknod(at("top/of-low"), unix.S_IFCHR, 0)) // hides what is not even there
	lower := "lowerdir=" + at("top") + ":" + at("low")
	must(t, unix.Mount("overlay", at("merged"), "overlay", 0, "index=off,redirect_dir=off,metacopy=off,"+lower+",upperdir="+at("upper")+",workdir="+at("work")))
	t.Cleanup(func() { must(t, unix.Unmount(at("merged"), unix.MNT_DETACH)) })
	must(t, unix.Mount("overlay", at("lower"), "overlay", unix.MS_RDONLY, lower))
	t.Cleanup(func() { must(t, unix.Unmount(at("lower"), unix.MNT_DETACH)) })
	return at("merged"), &Overlay{Upper: openRoot(t, at("upper")), Lower: openRoot(t, at("lower"))}
}

func changeTree(t *testing.T, merged string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(merged, name) }
	must(t, os.Mkdir(at("new"), 0o755))
	must(t, os.WriteFile(at("new/f"), nil, 0o644))
	must(t, os.Remove(at("keep/f")))
	must(t, os.RemoveAll(at("gone")))
	must(t, os.RemoveAll(at("opaque")))
	must(t, os.Mkdir(at("opaque"), 0o755))
	must(t, os.WriteFile(at("opaque/stays"), []byte("another one"), 0o644))
	must(t, os.Chmod(at("file"), 0o600))
	must(t, os.Remove(at("becomes-dir")))
	must(t, os.Mkdir(at("becomes-dir"), 0o755))
	must(t, os.WriteFile(at("becomes-dir/f"), nil, 0o644))
	must(t, os.WriteFile(at("same/x"), nil, 0o644)) // and gone again: only the folder's time has changed
	must(t, os.Remove(at("same/x")))
	must(t, os.Link(at("of-top"), at("link"))) // copied up as it was
}

func TestChanges(t *testing.T) {
	merged, o := overlay(t)
	if got, err := o.Changes(t.Context()); err != nil || len(got) > 0 {
		t.Fatalf("of nothing: %v %v", got, err)
	}
	changeTree(t, merged)
	want := []string{
		"C /becomes-dir", "A /becomes-dir/f", "C /file", "C /keep", "D /keep/f", "A /link", "A /new", "A /new/f", "C /opaque", "C /opaque/stays",
		"D /opaque/old", "D /gone",
	}
	if got := changes(t, o); !slices.Equal(got, want) {
		t.Errorf("changes:\n%q, want\n%q", got, want)
	}
	o.Given = map[string]bool{"/new": true}
	if got := changes(t, o); !slices.Contains(got, "C /new") || !slices.Contains(got, "A /new/f") {
		t.Errorf("a folder that every container has: %q", got)
	}
	o.Given = map[string]bool{"/new": true, "/new/f": false}
	if got := changes(t, o); slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "/new") }) {
		t.Errorf("what every container has: %q", got)
	}
}

func changes(t *testing.T, o *Overlay) (out []string) {
	t.Helper()
	list, err := o.Changes(t.Context())
	must(t, err)
	for _, c := range list {
		out = append(out, string("CAD"[c.Kind])+" "+c.Path)
	}
	return out
}

// TestLayer: the layer of an overlay's changes, unpacked on what lies below, is what the overlay shows.
func TestLayer(t *testing.T) {
	merged, o := overlay(t)
	changeTree(t, merged)
	o.All = true
	list, err := o.Changes(t.Context())
	must(t, err)
	slices.SortFunc(list, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	var out bytes.Buffer
	p := NewPacker(t.Context(), &out, nil)
	must(t, p.Layer(o.Upper, list))
	must(t, p.Close())
	dir := t.TempDir()
	below, _ := pack(t, o.Lower.Path())
	must(t, Unpack(t.Context(), bytes.NewReader(below), openRoot(t, dir), UnpackOptions{}))
	applyWhiteouts(t, dir, out.Bytes())
	must(t, Unpack(t.Context(), &out, openRoot(t, dir), UnpackOptions{}))
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(filepath.Base(path), whiteoutPrefix) {
			err = os.Remove(path)
		}
		return err
	}))
	trim := func(lines []string) (out []string) { // the times of folders are not compared: removing whiteouts changes them
		for _, l := range lines {
			if f := strings.Fields(l); !strings.HasPrefix(f[1], "40") {
				out = append(out, l)
			} else {
				out = append(out, strings.Join(f[:3], " "))
			}
		}
		return out
	}
	if want, got := trim(describe(t, merged)), trim(describe(t, dir)); !slices.Equal(want, got) {
		t.Errorf("the layer makes\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// applyWhiteouts removes what the whiteouts of a layer stand for.
func applyWhiteouts(t *testing.T, dir string, layer []byte) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(layer)); ; {
		hdr, err := r.Next()
		if err == io.EOF {
			return
		}
		must(t, err)
		if base, ok := strings.CutPrefix(filepath.Base(hdr.Name), whiteoutPrefix); ok {
			must(t, os.RemoveAll(filepath.Join(dir, filepath.Dir(hdr.Name), base)))
		}
	}
}
