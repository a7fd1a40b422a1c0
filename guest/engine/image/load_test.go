package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/klauspost/compress/zstd"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func dockerArchive(t *testing.T, repoTag string, layers ...[]file) []byte {
	t.Helper()
	tag, err := name.NewTag(repoTag)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := tarball.Write(tag, testImage(t, runtime.GOARCH, layers...), &buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestLoadSave(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	data := dockerArchive(t, "loaded:v1", []file{{name: "a", content: "A"}}, []file{{name: "b", content: "B"}})
	var lines []string
	for _, archive := range [][]byte{data, gzipped(t, data)} {
		got, err := s.Load(t.Context(), bytes.NewReader(archive), LoadOptions{Progress: func(m Message) { lines = append(lines, m.Stream) }, Quiet: true})
		if err != nil || len(got) != 1 || got[0].Name != "loaded:v1" || read(t, s, got[0].ID, "b") != "B" {
			t.Fatalf("load: %+v, %v", got, err)
		}
	}
	if strings.Join(lines, "") != "Loaded image: loaded:v1\nLoaded image: loaded:v1\n" {
		t.Errorf("output %q", lines)
	}
	var saved bytes.Buffer
	if err := s.Save(t.Context(), []string{"loaded:v1"}, nil, &saved); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), []string{"none"}, nil, io.Discard); !errdefs.IsNotFound(err) {
		t.Errorf("save of an unknown image: %v", err)
	}
	if _, err := s.Delete(t.Context(), "loaded:v1", DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, s)
	got, err := s.Load(t.Context(), &saved, LoadOptions{}) // an OCI layout and a Docker archive in one
	if err != nil || len(got) != 1 || got[0].Name != "loaded:v1" || read(t, s, got[0].ID, "a") != "A" {
		t.Fatalf("load what was saved: %+v, %v", got, err)
	}
}

// TestLoadCorrupt damages an archive in many ways: a clear error and nothing left.
func TestLoadCorrupt(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	data := dockerArchive(t, "bad:v1", []file{{name: "a", content: strings.Repeat("A", 5000)}})
	flipped := bytes.Clone(gzipped(t, data))
	flipped[len(flipped)/2] ^= 0xff
	for what, archive := range map[string][]byte{
		"empty":         nil,
		"noise":         bytes.Repeat([]byte("noise"), 1000),
		"cut short":     data[:len(data)*2/3],
		"cut gzip":      gzipped(t, data)[:200],
		"flipped gzip":  flipped,
		"no image":      tarOf(t, file{name: "x", content: "y"}),
		"bad manifest":  tarOf(t, file{name: "manifest.json", content: "{"}),
		"missing layer": tarOf(t, file{name: "manifest.json", content: `[{"Config":"c.json","Layers":["l.tar"]}]`}, file{name: "c.json", content: "{}"}),
		"wrong layer": tarOf(t, file{name: "manifest.json", content: `[{"Config":"c.json","RepoTags":["bad:v1"],"Layers":["l.tar"]}]`},
			file{name: "c.json", content: `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["sha256:` + strings.Repeat("a", 64) + `"]}}`},
			file{name: "l.tar", content: string(tarOf(t, file{name: "a", content: "b"}))}),
		"xz": append([]byte{0xfd, '7', 'z', 'X', 'Z', 0}, data...),
	} {
		got, err := s.Load(t.Context(), bytes.NewReader(archive), LoadOptions{})
		if err == nil || len(got) != 0 {
			t.Errorf("%s: loaded %v", what, got)
		} else if !errdefs.IsInvalidArgument(err) && !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%s: not a clear error: %v", what, err)
		}
		t.Logf("%s: %v", what, err)
	}
	wantEmpty(t, s)
	if list, _ := s.List(t.Context(), ListOptions{}); len(list) != 0 {
		t.Errorf("images %v", list)
	}
}

func TestImport(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	data := tarOf(t, file{name: "bin/"}, file{name: "bin/x", content: "X", mode: 0o755})
	var zst bytes.Buffer
	w, _ := zstd.NewWriter(&zst)
	_, _ = w.Write(data)
	_ = w.Close()
	for what, archive := range map[string][]byte{"plain": data, "gzip": gzipped(t, data), "zstd": zst.Bytes()} {
		img, err := s.Import(t.Context(), bytes.NewReader(archive), ImportOptions{
			Ref: "made:" + what, Message: "hi",
			Changes: []string{`CMD ["/bin/x","a"]`, "ENTRYPOINT sh y", `ENV A="b c" D=e`, "ENV F g h", "EXPOSE 80 53/udp",
				"WORKDIR /w", "USER 1:2", "LABEL k=v", `VOLUME ["/v"]`, "STOPSIGNAL SIGINT"},
		})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		c := img.Config
		if read(t, s, img.ID, "bin/x") != "X" || img.Name != "made:"+what || c.Cmd[1] != "a" || c.Entrypoint[2] != "sh y" ||
			strings.Join(c.Env, "|") != "A=b c|D=e|F=g h" || len(c.ExposedPorts) != 2 || c.WorkingDir != "/w" || c.User != "1:2" ||
			c.Labels["k"] != "v" || c.StopSignal != "SIGINT" || len(c.Volumes) != 1 || img.Comment != "hi" {
			t.Errorf("%s: %+v", what, img)
		}
	}
	for _, bad := range []string{"RUN x", "ENV x", "CMD", "EXPOSE a:b:c:d"} {
		if _, err := s.Import(t.Context(), bytes.NewReader(data), ImportOptions{Changes: []string{bad}}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("change %q: %v", bad, err)
		}
	}
	if _, err := s.Import(t.Context(), bytes.NewReader(data[:600]), ImportOptions{Ref: "cut"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("archive cut short: %v", err)
	}
	for _, tag := range []string{"plain", "gzip", "zstd"} {
		if _, err := s.Delete(t.Context(), "made:"+tag, DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	wantEmpty(t, s)
}

func TestNames(t *testing.T) {
	var uses []Use
	s := openTest(t, t.TempDir(), func(string) []Use { return uses })
	load := func(tag, content string) *Image {
		t.Helper()
		got, err := s.Load(t.Context(), bytes.NewReader(dockerArchive(t, tag, []file{{name: "f", content: content}})), LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return got[0]
	}
	one := load("one", "1")
	if err := s.Tag(t.Context(), one.ID, "reg.test:5000/two", "x"); err != nil {
		t.Fatal(err)
	}
	if err := s.Tag(t.Context(), "one", "two@sha256:"+strings.Repeat("a", 64), ""); !errdefs.IsInvalidArgument(err) {
		t.Errorf("tag with a digest: %v", err)
	}
	yes, no := true, false
	for _, c := range []struct {
		o    ListOptions
		want int
	}{
		{ListOptions{}, 1}, {ListOptions{Reference: []string{"one"}}, 1}, {ListOptions{Reference: []string{"*/two:x"}}, 1},
		{ListOptions{Reference: []string{"three"}}, 0}, {ListOptions{Dangling: &yes}, 0}, {ListOptions{Dangling: &no}, 1},
		{ListOptions{Labels: []string{"of=" + runtime.GOARCH}}, 1}, {ListOptions{Labels: []string{"of=x"}}, 0},
	} {
		if list, err := s.List(t.Context(), c.o); err != nil || len(list) != c.want {
			t.Errorf("list %+v: %d images, %v", c.o, len(list), err)
		}
	}
	conflict := func(ref string, force bool, text string) {
		t.Helper()
		if _, err := s.Delete(t.Context(), ref, DeleteOptions{Force: force}); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), text) {
			t.Errorf("delete %s: %v", ref, err)
		}
	}
	conflict(one.ID, false, "(must be forced) - image is referenced in multiple repositories")
	delete1 := func(ref string, force bool) []image.DeleteResponse {
		t.Helper()
		out, err := s.Delete(t.Context(), ref, DeleteOptions{Force: force})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := delete1("reg.test:5000/two:x", false); len(out) != 1 || out[0].Untagged != "reg.test:5000/two:x" {
		t.Errorf("untag: %+v", out)
	}
	uses = []Use{{Container: "c0ffee00c0ffee00", Running: true}}
	conflict("one", false, `conflict: unable to remove repository reference "one" (must force) - container c0ffee00c0ff is using its referenced image `+one.ID[7:19])
	conflict(one.ID[7:19], true, "(cannot be forced) - image is being used by running container c0ffee00c0ff")
	uses[0].Running = false
	conflict(one.ID, false, "(must be forced) - image is being used by stopped container c0ffee00c0ff")

	// By force: gone from sight, but the container can still start until it is removed.
	out := delete1("one", true)
	if text, _ := json.Marshal(out); string(text) != `[{"Untagged":"one:latest"},{"Deleted":"`+one.ID+`"}]` {
		t.Errorf("forced: %s", text)
	}
	if _, err := s.Resolve(t.Context(), one.ID); !errdefs.IsNotFound(err) {
		t.Errorf("a deleted image resolves: %v", err)
	}
	if _, _, n := leftovers(t, s); n != 1 || read(t, s, one.ID, "f") != "1" {
		t.Errorf("the stopped container lost its image")
	}
	uses = nil
	s.Released(one.ID)
	wantEmpty(t, s)

	load("moved", "1")
	load("moved", "2")
	if list, _ := s.List(t.Context(), ListOptions{Dangling: &yes}); len(list) != 1 {
		t.Errorf("%d dangling images", len(list))
	}
	past, sub := s.o.Events.Subscribe(time.Unix(1, 0), time.Time{}, func(events.Message) bool { return true })
	sub.Close()
	var actions []string
	for _, m := range past {
		actions = append(actions, string(m.Action)+" "+m.Actor.Attributes["name"])
	}
	if want := []string{"load " + one.ID, "tag reg.test:5000/two:x", "untag " + one.ID, "untag " + one.ID, "delete " + one.ID}; !slices.Equal(actions[:5], want) {
		t.Errorf("events %q\nwant %q", actions, want)
	}
	report, err := s.Prune(t.Context(), PruneOptions{All: true})
	if err != nil || len(report.ImagesDeleted) != 3 {
		t.Errorf("prune: %+v, %v", report, err)
	}
	wantEmpty(t, s)
}

func TestHello(t *testing.T) {
	root := t.TempDir()
	s := openTest(t, root, nil)
	if _, err := s.Resolve(t.Context(), "hello"); !errdefs.IsNotFound(err) {
		t.Errorf("hello without its program: %v", err)
	}
	write := func(content string) *Image {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, "naru-hello"), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		img, err := s.Resolve(t.Context(), "hello")
		if err != nil || read(t, s, img.ID, "hello") != content || img.Name != "hello:latest" || img.Config.Cmd[0] != "/hello" {
			t.Fatalf("hello: %+v, %v", img, err)
		}
		return img
	}
	first := write("program")
	if again, err := s.Resolve(t.Context(), "hello:latest"); err != nil || again.ID != first.ID {
		t.Errorf("again: %v, %v", again, err)
	}
	write("a newer program")
	if list, _ := s.List(t.Context(), ListOptions{}); len(list) != 1 {
		t.Errorf("%d images after an upgrade", len(list))
	}
	if _, _, n := leftovers(t, s); n != 1 {
		t.Errorf("%d snapshots after an upgrade", n)
	}
}

// TestPlatforms: an archive with an index gives the platform that is asked for, an image of another one is not found by it.
func TestPlatforms(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	linux := func(arch string) ocispec.Platform { return ocispec.Platform{OS: "linux", Architecture: arch} }
	archive := layoutArchive(t, testIndex(t, map[string]v1.Image{
		"amd64": testImage(t, "amd64", []file{{name: "a", content: "x86"}}), "arm64": testImage(t, "arm64", []file{{name: "a", content: "arm"}}),
	}))
	for _, arch := range []string{"arm64", "amd64"} {
		got, err := s.Load(t.Context(), bytes.NewReader(archive), LoadOptions{Platforms: []ocispec.Platform{linux(arch)}})
		if err != nil || len(got) != 1 || got[0].Platform.Architecture != arch {
			t.Fatalf("load %s: %+v, %v", arch, got, err)
		}
	}
	if got, err := s.Load(t.Context(), bytes.NewReader(archive), LoadOptions{Platforms: []ocispec.Platform{linux("arm64"), linux("amd64")}}); err != nil || len(got) != 2 {
		t.Errorf("load of both: %+v, %v", got, err)
	}
	if _, err := s.Load(t.Context(), bytes.NewReader(archive), LoadOptions{Platforms: []ocispec.Platform{linux("s390x")}}); !errdefs.IsNotFound(err) {
		t.Errorf("load of a platform that is not there: %v", err)
	}
	loaded, err := s.Load(t.Context(), bytes.NewReader(dockerArchive(t, "one:v1", []file{{name: "a", content: "b"}})), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other, own := linux("s390x"), loaded[0].Platform
	const want = "image with reference one:v1 was found but does not provide the specified platform (linux/s390x)"
	check := func(what string, err error) {
		t.Helper()
		if !errdefs.IsNotFound(err) || err.Error() != want {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	_, err = s.Inspect(t.Context(), "one:v1", InspectOptions{Platform: &other})
	check("inspect", err)
	_, err = s.History(t.Context(), "one:v1", &other)
	check("history", err)
	_, err = s.Delete(t.Context(), "one:v1", DeleteOptions{Platform: &other})
	check("delete", err)
	if err := s.Save(t.Context(), []string{"one:v1"}, []ocispec.Platform{other}, io.Discard); !errdefs.IsNotFound(err) {
		t.Errorf("save: %v", err)
	}
	img, err := s.Inspect(t.Context(), "one:v1", InspectOptions{Platform: &own, Manifests: true})
	if err != nil {
		t.Fatal(err)
	}
	if m := img.Manifests; len(m) != 1 || !m[0].Available || m[0].Size.Total != m[0].Size.Content+img.Size || m[0].ImageData.Platform.Architecture != own.Architecture {
		t.Errorf("manifests: %+v", m)
	}
}

// TestSaveRepository: a repository means all its tags, and an image that is named twice is written once.
func TestSaveRepository(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	for _, tag := range []string{"repo:v1", "repo:v2", "other:v1"} {
		if _, err := s.Load(t.Context(), bytes.NewReader(dockerArchive(t, tag, []file{{name: "of", content: tag[:5]}})), LoadOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Tag(t.Context(), "repo:v1", "third", ""); err != nil {
		t.Fatal(err)
	}
	var saved bytes.Buffer
	if err := s.Save(t.Context(), []string{"repo", "third:latest", "repo:v1"}, nil, &saved); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, t.TempDir(), nil)
	if _, err := again.Load(t.Context(), &saved, LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	list, err := again.List(t.Context(), ListOptions{})
	var tags []string
	for _, i := range list {
		tags = append(tags, i.RepoTags...)
	}
	if slices.Sort(tags); err != nil || !slices.Equal(tags, []string{"repo:v1", "repo:v2", "third:latest"}) {
		t.Errorf("saved %q, %v", tags, err)
	}
}

// layoutArchive is an OCI layout with one index, as an archive.
func layoutArchive(t *testing.T, index v1.ImageIndex) []byte {
	t.Helper()
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendIndex(index); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
