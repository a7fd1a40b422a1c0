package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestHostile hands the store archives and manifests that want something else than to be an image. Each is refused in words that
// name the reason, or (want "") confined; around the store everything stays as it was, and the store works on.
func TestHostile(t *testing.T) {
	root := t.TempDir()
	canary := filepath.Join(root, "canary")
	for _, name := range []string{"canary", "data"} {
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(canary, "f"), []byte("canary"), 0o640); err != nil {
		t.Fatal(err)
	}
	old := time.Unix(1e9, 0)
	if err := os.Chtimes(canary, old, old); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, filepath.Join(root, "data"), nil)
	before := treeOf(t, canary)
	n := 0
	check := func(name, want string, err error) {
		n++
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: refused: %v", name, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if after := treeOf(t, canary); after != before {
			t.Fatalf("%s: outside has changed:\n%s\nwas\n%s", name, after, before)
		}
	}
	for _, c := range hostileLayers(canary) {
		data := tarHeaders(t, c.entries)
		_, err := s.Import(t.Context(), bytes.NewReader(data), ImportOptions{})
		check("import: "+c.name, c.want, err)
		_, err = s.Load(t.Context(), bytes.NewReader(layoutOf(t, data, nil)), LoadOptions{})
		check("load: "+c.name, c.want, err)
	}
	good := tarHeaders(t, []tar.Header{{Name: "f"}})
	for _, c := range hostileDocuments() {
		_, err := s.Load(t.Context(), bytes.NewReader(layoutOf(t, good, c.change)), LoadOptions{})
		check("document: "+c.name, c.want, err)
	}
	for name, c := range hostileArchives(t, canary) {
		_, err := s.Load(t.Context(), bytes.NewReader(c.data), LoadOptions{})
		check("archive: "+name, c.want, err)
	}
	if n < 60 {
		t.Errorf("only %d cases", n)
	}
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 2 {
		t.Errorf("beside the store: %v %v", entries, err)
	}
	if _, err := s.Load(t.Context(), bytes.NewReader(layoutOf(t, good, nil)), LoadOptions{}); err != nil {
		t.Errorf("a good archive afterwards: %v", err)
	}
	t.Logf("%d cases", n)
}

type hostileLayer struct {
	name    string
	entries []tar.Header
	want    string
}

func hostileLayers(canary string) []hostileLayer {
	sym := func(name, to string) tar.Header {
		return tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeSymlink}
	}
	hard := func(name, to string) tar.Header {
		return tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeLink}
	}
	one := func(name string) tar.Header { return tar.Header{Name: name} }
	dir := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }
	deep := strings.Repeat("d/", 1100) + "f"
	return []hostileLayer{
		{"up", []tar.Header{one("../../../../canary/x")}, "invalid entry name"},
		{"up inside", []tar.Header{one("a/../../../canary/x")}, "invalid entry name"},
		{"only up", []tar.Header{one("..")}, "invalid entry name"},
		{"absolute", []tar.Header{one(canary + "/x")}, ""},
		{"link up", []tar.Header{sym("l", "../../../../../.."), one("l" + canary + "/x")}, ""},
		{"absolute link", []tar.Header{sym("l", canary), one("l/x")}, ""},
		{"chain of links", []tar.Header{sym("a", "b"), sym("b", canary), one("a/x")}, ""},
		{"loop of links", []tar.Header{sym("a", "b"), sym("b", "a"), one("a/x")}, "too many levels of symbolic links"},
		{"link, then its folder", []tar.Header{sym("l", canary), dir("l"), one("l/x")}, ""},
		{"write through a link", []tar.Header{sym("l", canary+"/f"), one("l")}, ""},
		{"hard link up", []tar.Header{hard("h", "../../canary/f")}, "invalid hardlink target"},
		{"hard link, absolute", []tar.Header{hard("h", canary+"/f")}, "no such file"},
		{"hard link through a link", []tar.Header{sym("l", canary), hard("h", "l/f")}, "no such file"},
		{"hard link to a link", []tar.Header{sym("l", canary+"/f"), hard("h", "l"), one("h")}, ""},
		{"hard link to itself", []tar.Header{hard("h", "h")}, "no such file"},
		{"hard link to the folder", []tar.Header{hard("h", ".")}, "invalid hardlink target"},
		{"whiteout of ..", []tar.Header{one(".wh...")}, "invalid whiteout name"},
		{"whiteout of .", []tar.Header{one(".wh..")}, "invalid whiteout name"},
		{"whiteout of nothing", []tar.Header{one(".wh.")}, "invalid whiteout name"},
		{"whiteout up", []tar.Header{one("../../canary/.wh.f")}, "invalid entry name"},
		{"whiteout through a link", []tar.Header{sym("l", canary), one("l/.wh.f")}, ""},
		{"opaque through a link", []tar.Header{sym("l", canary), one("l/.wh..wh..opq")}, ""},
		{"opaque up", []tar.Header{one("../.wh..wh..opq")}, "invalid entry name"},
		{"device", []tar.Header{{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8}, {Name: "mem", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 1}}, ""},
		{"write to a device", []tar.Header{{Name: "kmsg", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 11}, one("kmsg")}, ""},
		{"pipe", []tar.Header{{Name: "p", Typeflag: tar.TypeFifo}, one("p")}, ""},
		{"overlay's attributes", []tar.Header{{Name: "d", Typeflag: tar.TypeDir, PAXRecords: map[string]string{"SCHILY.xattr.trusted.overlay.redirect": canary, "SCHILY.xattr.user.overlay.opaque": "y"}}}, ""},
		{"attribute too large", []tar.Header{{Name: "f", PAXRecords: map[string]string{"SCHILY.xattr.user.a": strings.Repeat("x", 200<<10)}}}, "extended attributes"},
		{"too deep", []tar.Header{one(deep)}, "deeper than"},
		{"too long a name", []tar.Header{one(strings.Repeat(strings.Repeat("n", 200)+"/", 25) + "f")}, "longer than"},
		{"too long an element", []tar.Header{one(strings.Repeat("n", 300))}, "file name too long"},
		{"too long a link", []tar.Header{sym("l", strings.Repeat("l/", 3000))}, "longer than"},
		{"owner out of range", []tar.Header{{Name: "f", Uid: 1 << 40, Format: tar.FormatGNU}}, "out of range"},
		{"a file as a folder", []tar.Header{one("f"), one("f/x")}, "not a directory"},
	}
}

func tarHeaders(t *testing.T, headers []tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatalf("%.40s: %v", h.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type object = map[string]any

// layoutOf is an OCI layout of an image with one layer. change, which may be nil, changes its documents before they are written.
func layoutOf(t *testing.T, layer []byte, change func(manifest, config, index object)) []byte {
	t.Helper()
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	add := func(mediaType string, data []byte) object {
		d := fmt.Sprintf("%x", sha256.Sum256(data))
		files["blobs/sha256/"+d] = data
		return object{"mediaType": mediaType, "digest": "sha256:" + d, "size": len(data)}
	}
	encode := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	const oci = "application/vnd.oci.image."
	config := object{"architecture": runtime.GOARCH, "os": "linux", "rootfs": object{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}}}
	manifest := object{"schemaVersion": 2, "mediaType": oci + "manifest.v1+json", "layers": []any{add(oci+"layer.v1.tar", layer)}}
	index := object{"schemaVersion": 2}
	if change != nil {
		change(manifest, config, index)
	}
	if manifest["config"] == nil {
		manifest["config"] = add(oci+"config.v1+json", encode(config))
	}
	if index["manifests"] == nil {
		index["manifests"] = []any{add(oci+"manifest.v1+json", encode(manifest))}
	}
	files["index.json"] = encode(index)
	return tarFiles(t, files)
}

func tarFiles(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type hostileDocument struct {
	name   string
	change func(manifest, config, index object)
	want   string
}

func hostileDocuments() []hostileDocument {
	rootfs := func(ids ...string) func(m, c, i object) {
		return func(_, c, _ object) { c["rootfs"] = object{"type": "layers", "diff_ids": ids} }
	}
	zero := "sha256:" + strings.Repeat("0", 64)
	return []hostileDocument{
		{"manifest and index", func(m, _, _ object) { m["manifests"] = []any{} }, "has the entries of an index"},
		{"wrong media type", func(m, _, _ object) { m["mediaType"] = "application/vnd.oci.image.index.v1+json" }, "calls itself"},
		{"schema 1", func(m, _, _ object) { m["schemaVersion"] = 1 }, "schema 1"},
		{"fsLayers", func(m, _, _ object) { m["fsLayers"] = []any{} }, "schema 1"},
		{"128 layers", func(m, _, _ object) {
			l := m["layers"].([]any)[0]
			for range 127 {
				m["layers"] = append(m["layers"].([]any), l)
			}
		}, "max depth exceeded"},
		{"no config", func(m, _, _ object) { m["config"] = object{} }, "not a container image"},
		{"config of another type", func(m, _, _ object) {
			m["config"] = object{"mediaType": "text/plain", "digest": zero, "size": 1}
		}, "not a container image"},
		{"config that is not there", func(m, _, _ object) {
			m["config"] = object{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": zero, "size": 1}
		}, "not found"},
		{"config digest is a path", func(m, _, _ object) {
			m["config"] = object{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "sha256:../../../canary/f", "size": 1}
		}, "digest"},
		{"config too large", func(m, _, _ object) {
			m["config"] = object{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": zero, "size": 1 << 40}
		}, "too large"},
		{"config of a megabyte more than allowed", func(_, c, _ object) { c["author"] = strings.Repeat("x", maxJSON) }, "too large"},
		{"layer digest is a path", func(m, _, _ object) { m["layers"].([]any)[0].(object)["digest"] = "sha256:../../../../canary/f" }, "digest"},
		{"layer of an unknown algorithm", func(m, _, _ object) { m["layers"].([]any)[0].(object)["digest"] = "md5:" + strings.Repeat("0", 32) }, "digest"},
		{"layer that is not there", func(m, _, _ object) { m["layers"].([]any)[0].(object)["digest"] = zero }, "not found"},
		{"negative size", func(m, _, _ object) { m["layers"].([]any)[0].(object)["size"] = -1 }, "negative"},
		{"layer of another type", func(m, _, _ object) { m["layers"].([]any)[0].(object)["mediaType"] = "text/plain" }, "text/plain"},
		{"encrypted layer", func(m, _, _ object) {
			m["layers"].([]any)[0].(object)["mediaType"] = "application/vnd.oci.image.layer.v1.tar+encrypted"
		}, "media type"},
		{"wrong diff ID", rootfs(zero), "verification failed"},
		{"diff ID is a path", rootfs("../../../canary/f"), "invalid rootfs"},
		{"more diff IDs than layers", rootfs(zero, zero), "1 layers but 2 diff IDs"},
		{"no diff IDs", rootfs(), "1 layers but 0 diff IDs"},
		{"rootfs is a list", func(_, c, _ object) { c["rootfs"] = []any{} }, "cannot unmarshal"},
		{"empty index", func(_, _, i object) { i["manifests"] = []any{} }, "no image"},
		{"index entry's digest is a path", func(_, _, i object) {
			i["manifests"] = []any{object{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:../../x", "size": 1}}
		}, "invalid archive"},
		{"index entry that is not there", func(_, _, i object) {
			i["manifests"] = []any{object{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": zero, "size": 1}}
		}, "invalid archive"},
		{"name with a newline", func(_, _, i object) { i["annotations"] = object{"x": "\n"} }, ""},
	}
}

type hostileArchive struct {
	data []byte
	want string
}

func hostileArchives(t *testing.T, canary string) map[string]hostileArchive {
	list := func(config, layer, tag string) []byte {
		return fmt.Appendf(nil, `[{"Config":%q,"RepoTags":[%q],"Layers":[%q]}]`, config, tag, layer)
	}
	docker := func(manifest []byte) []byte {
		return tarFiles(t, map[string][]byte{"manifest.json": manifest, "c.json": []byte(`{}`), "l.tar": nil})
	}
	return map[string]hostileArchive{
		"empty":                 {nil, "invalid archive"},
		"no archive":            {bytes.Repeat([]byte("no archive "), 100), "invalid archive"},
		"only a file":           {tarFiles(t, map[string][]byte{"f": nil}), "invalid archive"},
		"manifest is no JSON":   {docker([]byte("{")), "invalid archive"},
		"manifest is no list":   {docker([]byte(`{}`)), "invalid archive"},
		"config outside":        {docker(list("../../canary/f", "l.tar", "x:1")), "invalid archive"},
		"config absolute":       {docker(list(canary+"/f", "l.tar", "x:1")), "invalid archive"},
		"layer outside":         {docker(list("c.json", "../../canary/f", "x:1")), "invalid archive"},
		"tag is a path":         {docker(list("c.json", "l.tar", "../../x:1")), "invalid"},
		"entry outside":         {tarFiles(t, map[string][]byte{"../../canary/x": []byte("x")}), "invalid archive"},
		"layer link to outside": {tarHeaders(t, []tar.Header{{Name: "l.tar", Typeflag: tar.TypeSymlink, Linkname: canary + "/f"}}), "invalid archive"},
	}
}

// treeOf describes a folder and everything in it.
func treeOf(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(name, &st)
		}
		fmt.Fprintln(&out, name, st.Mode, st.Uid, st.Gid, st.Size, st.Nlink, st.Mtim, st.Ctim)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
