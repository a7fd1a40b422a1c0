package archive

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// archiveOf makes an archive of headers; regular files hold "x".
func archiveOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, hdr := range headers {
		if hdr.Typeflag == 0 {
			hdr.Typeflag = tar.TypeReg
		}
		if hdr.Typeflag == tar.TypeReg {
			hdr.Size = 1
		}
		if hdr.Mode == 0 {
			hdr.Mode = 0o755
		}
		if err := w.WriteHeader(&hdr); err != nil {
			t.Fatal(err)
		}
		if hdr.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func link(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
}
func hard(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeLink}
}
func file(name string) tar.Header   { return tar.Header{Name: name} }
func folder(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }

// TestHostileArchives: whatever an archive holds, nothing outside of the folder changes, and nothing of outside gets in.
func TestHostileArchives(t *testing.T) {
	needRoot(t)
	for name, headers := range map[string][]tar.Header{
		"up":                          {file("../canary/f")},
		"up inside":                   {file("a/../../canary/f")},
		"absolute":                    {file("CANARY/f")},
		"link to the parent":          {link("l", ".."), file("l/canary/f")},
		"absolute link":               {link("l", "CANARY"), file("l/f")},
		"link to the root":            {link("l", "/"), file("lCANARY/f"), file("l/etc/naru-was-here")},
		"chain of links":              {link("a", "b"), link("b", ".."), file("a/canary/f")},
		"link, then a folder of it":   {link("l", "CANARY"), folder("l"), file("l/f")},
		"hard link up":                {hard("h", "../canary/f"), file("h")},
		"hard link, absolute":         {hard("h", "CANARY/f")},
		"hard link through a link":    {link("l", "CANARY"), hard("h", "l/f")},
		"write through a hard link":   {link("l", "CANARY/f"), hard("h", "l"), file("h")},
		"replace a folder by a link":  {folder("d"), file("d/f"), link("d", "CANARY"), file("d/f")},
		"mode of a link's target":     {link("l", "CANARY/f"), {Name: "l", Typeflag: tar.TypeFifo, Mode: 0o4777}},
		"owner through a link":        {link("l", "CANARY"), {Name: "l", Typeflag: tar.TypeSymlink, Linkname: "CANARY", Uid: 5}},
		"folder times through a link": {folder("d"), link("d", "CANARY")},
		"attribute of the overlay's": {{Name: "d", Typeflag: tar.TypeDir,
			PAXRecords: map[string]string{"SCHILY.xattr.trusted.overlay.redirect": "/x", "SCHILY.xattr.trusted.overlay.opaque": "y"}}},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			canary, dest := filepath.Join(base, "canary"), filepath.Join(base, "dest")
			must(t, os.Mkdir(dest, 0o755))
			must(t, os.Mkdir(canary, 0o755))
			must(t, os.WriteFile(filepath.Join(canary, "f"), []byte("canary"), 0o640))
			old := time.Unix(1e9, 0)
			must(t, os.Chtimes(canary, old, old))
			before := append(describe(t, canary), describeOne(t, canary))
			for i := range headers {
				headers[i].Name = strings.ReplaceAll(headers[i].Name, "CANARY", canary)
				headers[i].Linkname = strings.ReplaceAll(headers[i].Linkname, "CANARY", canary)
			}
			err := Unpack(t.Context(), bytes.NewReader(archiveOf(t, headers...)), openRoot(t, dest), UnpackOptions{Dest: "/dest"})
			t.Logf("unpack: %v", err)
			if after := append(describe(t, canary), describeOne(t, canary)); !slices.Equal(before, after) {
				t.Errorf("outside has changed:\nbefore %q\nafter  %q", before, after)
			}
			if _, err := os.Lstat("/etc/naru-was-here"); err == nil {
				t.Error("a file was written to this machine's /etc")
			}
			for _, line := range describe(t, dest) {
				if strings.Contains(line, "63616e617279") { // "canary"
					t.Errorf("the canary is inside: %s", line)
				}
			}
			for _, attr := range []string{"trusted.overlay.redirect", "trusted.overlay.opaque"} {
				if _, err := unix.Lgetxattr(filepath.Join(dest, "d"), attr, nil); err == nil {
					t.Errorf("%s was set", attr)
				}
			}
		})
	}
}

func describeOne(t *testing.T, dir string) string {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(dir, &st))
	return strings.Join([]string{time.Unix(st.Mtim.Unix()).String(), os.FileMode(st.Mode).String()}, " ")
}

// TestBadArchives: what cannot be unpacked is refused, in words that name it.
func TestBadArchives(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct {
		headers []tar.Header
		o       UnpackOptions
		want    string
	}{
		"up":               {[]tar.Header{file("../x")}, UnpackOptions{}, `invalid entry name "../x"`},
		"hard link up":     {[]tar.Header{hard("h", "../x")}, UnpackOptions{}, `invalid hardlink target "../x"`},
		"folder over file": {[]tar.Header{file("f"), folder("f")}, UnpackOptions{NoOverwriteDirNonDir: true, Dest: "/d"}, `cannot overwrite non-directory "f" with directory "/d"`},
		"file over folder": {[]tar.Header{folder("f"), file("f")}, UnpackOptions{NoOverwriteDirNonDir: true, Dest: "/d"}, `cannot overwrite directory "f" with non-directory "/d"`},
		"owner":            {[]tar.Header{{Name: "f", Uid: 1 << 40}}, UnpackOptions{}, `owner 1099511627776:0 is out of range`},
		"no target":        {[]tar.Header{hard("h", "none")}, UnpackOptions{Dest: "/d"}, `unpack /d/h: link to none: no such file or directory`},
	} {
		err := Unpack(t.Context(), bytes.NewReader(archiveOf(t, c.headers...)), openRoot(t, t.TempDir()), c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	err := Unpack(t.Context(), strings.NewReader(strings.Repeat("no archive ", 100)), openRoot(t, t.TempDir()), UnpackOptions{})
	if err == nil || !strings.HasPrefix(err.Error(), "invalid archive: ") {
		t.Errorf("no archive at all: %v", err)
	}
	must(t, Unpack(t.Context(), strings.NewReader(""), openRoot(t, t.TempDir()), UnpackOptions{}))
}

// TestReplace: without NoOverwriteDirNonDir the archive wins, a folder's content included; a folder and a folder are merged.
func TestReplace(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "d/sub/sub"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "d/sub/f"), nil, 0o600))
	must(t, os.MkdirAll(filepath.Join(dir, "keep"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "keep/f"), nil, 0o600))
	data := archiveOf(t, file("d"), folder("keep"), file("keep/g"), file("new/implied/f"))
	must(t, Unpack(t.Context(), bytes.NewReader(data), openRoot(t, dir), UnpackOptions{}))
	for name, wantDir := range map[string]bool{"d": false, "keep/f": false, "keep/g": false, "new/implied": true} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.IsDir() != wantDir {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
}

// TestRacingLinks unpacks while another goroutine swaps folders for links to the outside.
func TestRacingLinks(t *testing.T) {
	needRoot(t)
	base := t.TempDir()
	canary, dest := filepath.Join(base, "canary"), filepath.Join(base, "dest")
	must(t, os.MkdirAll(filepath.Join(canary, "sub"), 0o755))
	must(t, os.MkdirAll(filepath.Join(dest, "d/sub"), 0o755))
	before := append(describe(t, canary), describeOne(t, canary))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		d, spare, evil := filepath.Join(dest, "d"), filepath.Join(base, "spare"), filepath.Join(base, "evil")
		_ = os.Symlink(canary, evil)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = unix.Rename(d, spare)
			_ = unix.Rename(evil, d)
			_ = unix.Rename(d, evil)
			_ = unix.Rename(spare, d)
		}
	}()
	data := archiveOf(t, folder("d"), tar.Header{Name: "d/sub", Typeflag: tar.TypeDir, Mode: 0o777, Uid: 7}, file("d/sub/f"), file("d/f"), hard("d/h", "d/f"),
		link("d/l", "/"), tar.Header{Name: "d/p", Typeflag: tar.TypeFifo, Mode: 0o4777})
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		_ = Unpack(t.Context(), bytes.NewReader(data), openRoot(t, dest), UnpackOptions{}) // fails often
		r := openRoot(t, dest)
		var out bytes.Buffer
		p := NewPacker(t.Context(), &out, nil)
		if fd, err := r.Dup(); err == nil {
			_ = p.Contents(fd, "")
			unix.Close(fd)
		}
	}
	close(stop)
	<-done
	if after := append(describe(t, canary), describeOne(t, canary)); !slices.Equal(before, after) {
		t.Errorf("outside has changed:\nbefore %q\nafter  %q", before, after)
	}
}
