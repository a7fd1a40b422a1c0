package localfiles

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestPlace is the table of Docker's documentation: where a copy goes and what it is called there.
func TestPlace(t *testing.T) {
	file := func(p string) End { return End{Path: p, Exists: true} }
	dir := func(p string) End { return End{Path: p, Exists: true, IsDir: true} }
	none := func(p string) End { return End{Path: p} }
	renamed := func(e End, name string) End { e.Rename = name; return e }
	for _, c := range []struct {
		src, dst  End
		dir       string
		name, was string // an entry of the archive and what it becomes
		err       error
	}{
		{file("/a/f"), none("/x/g"), "/x", "g", "f", nil},
		{file("/a/f"), none("/x/"), "", "", "", ErrDirNotExists},
		{file("/a/f"), none("/x/."), "", "", "", ErrDirNotExists},
		{file("/a/f"), file("/x/g"), "/x", "g", "f", nil},
		{file("/a/f"), dir("/x"), "/x", "f", "f", nil},
		{file("/a/f"), dir("/x/"), "/x/", "f", "f", nil},
		{dir("/a/d"), none("/x/e"), "/x", "e/s", "d/s", nil},
		{dir("/a/d"), none("/x/e/"), "/x", "e/s", "d/s", nil},
		{dir("/a/d/"), none("/x/e"), "/x", "e/s", "d/s", nil},
		{dir("/a/d/."), none("/x/e"), "/x", "e/s", "./s", nil},
		{dir("/a/d"), file("/x/g"), "", "", "", ErrCannotCopyDir},
		{dir("/a/d"), dir("/x"), "/x", "d/s", "d/s", nil},
		{dir("/a/d/."), dir("/x"), "/x", "./s", "./s", nil},
		{dir("/"), none("/x/e"), "/x", "e/s", "/s", nil},
		{dir("/"), dir("/x"), "/x", "/s", "/s", nil},
		{renamed(file("/a/target"), "link"), none("/x/g"), "/x", "g", "link", nil},
		{dir("/a/d"), none("/x/e"), "/x", "dd/s", "dd/s", nil}, // another name that begins alike
	} {
		got, rename, err := Place(c.src, c.dst)
		if !errors.Is(err, c.err) || got != c.dir {
			t.Errorf("%v to %v: in %q, %v; want %q, %v", c.src, c.dst, got, err, c.dir, c.err)
			continue
		}
		if err == nil && rename(c.was) != c.name {
			t.Errorf("%v to %v: %s becomes %s, want %s", c.src, c.dst, c.was, rename(c.was), c.name)
		}
	}
}

func TestFollowed(t *testing.T) {
	for _, c := range [][4]string{ // asked, target, path, rename
		{"/l", "/a/t", "/a/t", "l"}, {"/l/", "/a/t", "/a/t/", "l"}, {"/l/.", "/a/t", "/a/t/.", ""}, {"/t", "/a/t", "/a/t", ""},
	} {
		if p, rename := Followed(c[0], c[1], false); p != c[2] || rename != c[3] {
			t.Errorf("Followed(%q, %q) = %q, %q, want %q, %q", c[0], c[1], p, rename, c[2], c[3])
		}
	}
}

// copyLocally is cp from this machine to this machine, as both halves of cp do it.
func copyLocally(t *testing.T, src, dst string, follow bool) error {
	t.Helper()
	src, err := Absolute(src)
	must(t, err)
	dst, err = Absolute(dst)
	must(t, err)
	from, err := Source(src, follow)
	if err != nil {
		return err
	}
	to, err := Destination(dst)
	if err != nil {
		return err
	}
	dir, rename, err := Place(from, to)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if _, err := NewArchive(from, rename).WriteTo(&out); err != nil {
		return err
	}
	return Unpack(&out, dir, same)
}

func TestCopy(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs symbolic links; on Linux or macOS: go test ./cmd/naru/localfiles")
	}
	t.Chdir(t.TempDir())
	old := time.Unix(1e9, 0)
	must(t, os.MkdirAll("src/d/s", 0o751))
	must(t, os.WriteFile("src/d/f", []byte("content"), 0o640))
	must(t, os.Chtimes("src/d/f", old, old))
	must(t, os.Link("src/d/f", "src/d/hard"))
	must(t, os.Symlink("f", "src/d/link"))
	must(t, os.Symlink("d", "src/dirlink"))
	must(t, os.Chmod("src/d/s", 0o511))
	must(t, os.Chtimes("src/d", old, old))
	all := []string{"f", "hard", "link", "s"}
	for _, c := range []struct {
		src, dst string
		follow   bool
		in       string   // where to look afterwards
		want     []string // what is there
		err      string
	}{
		{"src/d", "new", false, "new", all, ""},
		{"src/d", "there", false, "there", []string{"d"}, ""},
		{"src/d/.", "there2", false, "there2", all, ""},
		{"src/d/", "there3/", false, "there3/d", all, ""},
		{"src/d/f", "there4", false, "there4", []string{"f"}, ""},
		{"src/d/f", "there5/g", false, "there5", []string{"g"}, ""},
		{"src/d/link", "there6", false, "there6", []string{"link"}, ""},
		{"src/d/link", "there7", true, "there7", []string{"link"}, ""},
		{"src/dirlink", "there8", true, "there8/dirlink", all, ""},
		{"src/dirlink/", "there9", false, "there9/dirlink", all, ""},
		{"src/d", "file", false, "", nil, "cannot copy directory"},
		{"src/d/f", "none/", false, "", nil, "no such directory"},
		{"src/d/f", "none/x/y", false, "", nil, "invalid output path: directory"},
		{"src/d/f/", "there", false, "", nil, "not a directory"},
		{"src/none", "there", false, "", nil, "no such file"},
		{"src/d/f", os.DevNull, false, "", nil, "must be a directory or a regular file: got a device"},
	} {
		if strings.HasPrefix(c.dst, "there") {
			must(t, os.MkdirAll(strings.Split(c.dst, "/")[0], 0o755))
		}
		must(t, os.WriteFile("file", nil, 0o600))
		err := copyLocally(t, c.src, c.dst, c.follow)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s to %s: %v, want %s", c.src, c.dst, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s to %s: %v", c.src, c.dst, err)
			continue
		}
		var got []string
		entries, err := os.ReadDir(c.in)
		must(t, err)
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s to %s: %v, want %v", c.src, c.dst, got, c.want)
		}
	}
	checkCopied(t)
}

func checkCopied(t *testing.T) {
	t.Helper()
	old := time.Unix(1e9, 0)
	if info, err := os.Lstat("there7/link"); err != nil || !info.Mode().IsRegular() {
		t.Errorf("a followed link: %v %v", info, err)
	}
	f, err := os.Stat("new/f")
	must(t, err)
	hard, err := os.Stat("new/hard")
	must(t, err)
	if f.Mode() != 0o640 || !f.ModTime().Equal(old) || !os.SameFile(f, hard) {
		t.Errorf("file: %v %v, hard link: %v", f.Mode(), f.ModTime(), os.SameFile(f, hard))
	}
	d, err := os.Stat("new")
	must(t, err)
	s, err := os.Stat("new/s")
	must(t, err)
	if !d.ModTime().Equal(old) || s.Mode().Perm() != 0o511 {
		t.Errorf("folders: %v %v", d.ModTime(), s.Mode())
	}
}

// TestUnpackStaysInside: names and links of an archive lead nowhere else.
func TestUnpackStaysInside(t *testing.T) {
	base := t.TempDir()
	dest, canary := filepath.Join(base, "dest"), filepath.Join(base, "canary")
	must(t, os.Mkdir(dest, 0o755))
	must(t, os.WriteFile(canary, []byte("canary"), 0o600))
	for _, headers := range [][]tar.Header{
		{{Name: "../canary"}}, {{Name: "a/../../canary"}},
		{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "l/canary"}},
		{{Name: "m", Typeflag: tar.TypeSymlink, Linkname: base}, {Name: "m/canary"}},
		{{Name: "h", Typeflag: tar.TypeLink, Linkname: "../canary"}},
		{{Name: "n", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "h", Typeflag: tar.TypeLink, Linkname: "n/canary"}},
	} {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		for _, hdr := range headers {
			hdr.Mode = 0o644
			must(t, w.WriteHeader(&hdr))
		}
		must(t, w.Close())
		if err := Unpack(&out, dest, same); err == nil {
			t.Errorf("%s was unpacked", headers[len(headers)-1].Name)
		}
		if content, _ := os.ReadFile(canary); string(content) != "canary" {
			t.Fatalf("%s got out", headers[len(headers)-1].Name)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, hdr := range []tar.Header{{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "d/f", Mode: 0o644, Size: 1}, {Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../x"}} {
		if err := w.WriteHeader(&hdr); err != nil {
			f.Fatal(err)
		}
		_, _ = io.WriteString(w, strings.Repeat("x", int(hdr.Size)))
	}
	f.Add(out.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		base := t.TempDir()
		dest := filepath.Join(base, "dest")
		must(t, os.Mkdir(dest, 0o755))
		_ = Unpack(bytes.NewReader(data), dest, same)
		entries, err := os.ReadDir(base)
		must(t, err)
		if len(entries) != 1 {
			t.Fatalf("something was made outside: %v", entries)
		}
	})
}
