package image

import (
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/api/types/registry"
)

func TestDistribution(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	reg := newTestRegistry(t)
	one := testImage(t, "arm64", []file{{name: "a", content: "one"}})
	index := testIndex(t, map[string]v1.Image{"amd64": testImage(t, "amd64", []file{{name: "a"}}), "s390x": testImage(t, "s390x", []file{{name: "a"}})})
	reg.push(t, "one:1", one)
	reg.push(t, "many:1", index)
	d, err := s.Distribution(t.Context(), reg.host+"/one:1", registry.AuthConfig{})
	digest, _ := one.Digest()
	if err != nil || d.Descriptor.Digest.String() != digest.String() || len(d.Platforms) != 1 || d.Platforms[0].Architecture != "arm64" {
		t.Errorf("one image: %+v, %v", d, err)
	}
	if d, err = s.Distribution(t.Context(), reg.host+"/many:1", registry.AuthConfig{}); err != nil || len(d.Platforms) != 2 {
		t.Errorf("index: %+v, %v", d, err)
	}
	if _, err = s.Distribution(t.Context(), reg.host+"/none:1", registry.AuthConfig{}); !errdefs.IsNotFound(err) {
		t.Errorf("unknown: %v", err)
	}
	wantEmpty(t, s)
}

func TestPruneFilters(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	for _, name := range []string{"keep", "old", "plain"} {
		change := "LABEL kind=" + name
		if _, err := s.Import(t.Context(), strings.NewReader(string(tarOf(t, file{name: name}))), ImportOptions{Ref: name, Changes: []string{change}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		o    PruneOptions
		left int
	}{
		{PruneOptions{}, 3}, // none is without a tag
		{PruneOptions{All: true, Until: time.Now().Add(-time.Hour)}, 3},
		{PruneOptions{All: true, Labels: []string{"kind=old"}}, 2},
		{PruneOptions{All: true, WithoutLabels: []string{"kind=keep"}}, 1},
		{PruneOptions{All: true, WithoutLabels: []string{"kind"}}, 1},
	} {
		if _, err := s.Prune(t.Context(), c.o); err != nil {
			t.Fatal(err)
		}
		list, err := s.List(t.Context(), ListOptions{})
		if err != nil || len(list) != c.left {
			t.Errorf("after %+v: %d images, want %d (%v)", c.o, len(list), c.left, err)
		}
	}
}
