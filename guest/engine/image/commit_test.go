package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func layerOf(data []byte) func(context.Context, io.Writer) error {
	return func(_ context.Context, w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

func TestCommit(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	loaded, err := s.Load(t.Context(), bytes.NewReader(dockerArchive(t, "base:v1", []file{{name: "a", content: "A"}, {name: "b", content: "B"}})), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	base := loaded[0]
	named, err := TagName("made", "v2")
	if err != nil {
		t.Fatal(err)
	}
	layer := tarOf(t, file{name: "c", content: "C"}, file{name: ".wh.b"})
	img, err := s.Commit(t.Context(), CommitOptions{Parent: base.ID, Name: named, Comment: "why", CreatedBy: "cmd", Layer: layerOf(layer),
		Config: dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{Cmd: []string{"x"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"a": "A", "b": "", "c": "C"} {
		if got := read(t, s, img.ID, path); got != want {
			t.Errorf("%s holds %q, want %q", path, got, want)
		}
	}
	if len(img.DiffIDs) != 2 || img.History[len(img.History)-1].CreatedBy != "cmd" || img.Comment != "why" || !slices.Equal(img.Config.Cmd, []string{"x"}) {
		t.Errorf("image: %+v", img)
	}
	same, err := s.Commit(t.Context(), CommitOptions{Parent: img.ID, Layer: func(context.Context, io.Writer) error { return nil }})
	if err != nil || len(same.DiffIDs) != 2 || !same.History[len(same.History)-1].EmptyLayer {
		t.Errorf("commit of nothing new: %+v %v", same, err)
	}
	// The new image keeps what it needs of the one below.
	for _, ref := range []string{"base:v1", same.ID} {
		if _, err := s.Delete(t.Context(), ref, DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	var saved bytes.Buffer
	if err := s.Save(t.Context(), []string{"made:v2"}, nil, &saved); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delete(t.Context(), "made:v2", DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, s)
	again, err := s.Load(t.Context(), &saved, LoadOptions{})
	if err != nil || again[0].ID != img.ID || read(t, s, img.ID, "c") != "C" || read(t, s, img.ID, "b") != "" {
		t.Errorf("saved and loaded: %+v %v", again, err)
	}
}

// TestCommitBreaksOff: an image that is not made whole leaves nothing.
func TestCommitBreaksOff(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	loaded, err := s.Load(t.Context(), bytes.NewReader(dockerArchive(t, "base:v1", []file{{name: "a", content: "A"}})), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for what, layer := range map[string]func(context.Context, io.Writer) error{
		"half a layer": func(_ context.Context, w io.Writer) error {
			_, err := w.Write(make([]byte, 1<<20))
			return errors.Join(err, broken)
		},
		"no archive": layerOf(bytes.Repeat([]byte("noise"), 1000)),
	} {
		if img, err := s.Commit(t.Context(), CommitOptions{Parent: loaded[0].ID, Layer: layer}); err == nil {
			t.Errorf("%s became %s", what, img.ID)
		}
	}
	if _, err := s.Commit(t.Context(), CommitOptions{Parent: "sha256:" + strings.Repeat("0", 64), Layer: layerOf(nil)}); !errdefs.IsNotFound(err) {
		t.Errorf("without the image below: %v", err)
	}
	if _, err := s.Delete(t.Context(), "base:v1", DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, s)
}

func TestApplyChanges(t *testing.T) {
	base := func() dockerspec.DockerOCIImageConfig {
		return dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{
			Env: []string{"PATH=/bin", "E="}, Cmd: []string{"old"}, WorkingDir: "/w", Labels: map[string]string{"l": "1"},
		}}
	}
	for change, set := range map[string]func(c *dockerspec.DockerOCIImageConfig){
		`CMD echo $PATH`:   func(c *dockerspec.DockerOCIImageConfig) { c.Cmd = []string{"/bin/sh", "-c", "echo $PATH"} },
		`cmd ["a", "b c"]`: func(c *dockerspec.DockerOCIImageConfig) { c.Cmd = []string{"a", "b c"} },
		`ENTRYPOINT ["e"]`: func(c *dockerspec.DockerOCIImageConfig) { c.Entrypoint, c.Cmd = []string{"e"}, nil },
		"CMD c\nENTRYPOINT [\"e\"]": func(c *dockerspec.DockerOCIImageConfig) {
			c.Entrypoint, c.Cmd = []string{"e"}, []string{"/bin/sh", "-c", "c"}
		},
		`ENV PATH=/x:$PATH`:                      func(c *dockerspec.DockerOCIImageConfig) { c.Env[0] = "PATH=/x:/bin" },
		`ENV A=1 B=${A:-none} C="x y" D=\$PATH`:  func(c *dockerspec.DockerOCIImageConfig) { c.Env = append(c.Env, "A=1", "B=none", "C=x y", "D=$PATH") },
		`ENV A it's "x"`:                         nil, // an open quote
		`ENV A some words $PATH`:                 func(c *dockerspec.DockerOCIImageConfig) { c.Env = append(c.Env, "A=some words /bin") },
		`ENV X='$PATH' Y=${E:-d} Z=${PATH:+set}`: func(c *dockerspec.DockerOCIImageConfig) { c.Env = append(c.Env, "X=$PATH", "Y=d", "Z=set") },
		`ENV A`:                                  nil,
		`ENV A=${PATH:?}`:                        nil,
		"LABEL a=b \\\n c=\"d e\"":               func(c *dockerspec.DockerOCIImageConfig) { c.Labels = map[string]string{"l": "1", "a": "b", "c": "d e"} },
		`EXPOSE 80 53/udp`: func(c *dockerspec.DockerOCIImageConfig) {
			c.ExposedPorts = map[string]struct{}{"80/tcp": {}, "53/udp": {}}
		},
		`EXPOSE x`:              nil,
		`VOLUME ["/a b", "/c"]`: func(c *dockerspec.DockerOCIImageConfig) { c.Volumes = map[string]struct{}{"/a b": {}, "/c": {}} },
		`VOLUME /a /c`:          func(c *dockerspec.DockerOCIImageConfig) { c.Volumes = map[string]struct{}{"/a": {}, "/c": {}} },
		`WORKDIR sub`:           func(c *dockerspec.DockerOCIImageConfig) { c.WorkingDir = "/w/sub" },
		`WORKDIR /x/../y`:       func(c *dockerspec.DockerOCIImageConfig) { c.WorkingDir = "/y" },
		`USER "a b"`:            func(c *dockerspec.DockerOCIImageConfig) { c.User = "a b" },
		`STOPSIGNAL SIGINT`:     func(c *dockerspec.DockerOCIImageConfig) { c.StopSignal = "SIGINT" },
		`ONBUILD RUN x`:         func(c *dockerspec.DockerOCIImageConfig) { c.OnBuild = []string{"RUN x"} },
		`ONBUILD FROM x`:        nil,
		`HEALTHCHECK NONE`: func(c *dockerspec.DockerOCIImageConfig) {
			c.Healthcheck = &dockerspec.HealthcheckConfig{Test: []string{"NONE"}}
		},
		`HEALTHCHECK --interval=5s --retries=3 CMD curl x`: func(c *dockerspec.DockerOCIImageConfig) {
			c.Healthcheck = &dockerspec.HealthcheckConfig{Test: []string{"CMD-SHELL", "curl x"}, Interval: 5 * time.Second, Retries: 3}
		},
		`HEALTHCHECK CMD ["a"]`: func(c *dockerspec.DockerOCIImageConfig) {
			c.Healthcheck = &dockerspec.HealthcheckConfig{Test: []string{"CMD", "a"}}
		},
		`HEALTHCHECK --interval=5 CMD x`:   nil,
		`HEALTHCHECK --interval=1us CMD x`: nil,
		`HEALTHCHECK --retries=-1 CMD x`:   nil,
		`HEALTHCHECK --other=1 CMD x`:      nil,
		`HEALTHCHECK CMD`:                  nil,
		`RUN x`:                            nil,
		`SHELL ["x"]`:                      nil,
		`CMD`:                              nil,
		"# a comment\n\n":                  func(*dockerspec.DockerOCIImageConfig) {},
	} {
		got, want, before := base(), base(), base()
		shared := got
		err := ApplyChanges(&got, []string{change})
		if set == nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%q: %v", change, err)
			}
			continue
		}
		set(&want)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v %v\nwant %+v", change, got, err, want)
		}
		if !slices.Equal(shared.Env, before.Env) || !maps.Equal(shared.Labels, before.Labels) {
			t.Errorf("%q changed what others may have", change)
		}
	}
}
