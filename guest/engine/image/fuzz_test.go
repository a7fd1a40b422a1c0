package image

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// FuzzManifest: what passes the checks is a manifest or an index and not both, and points to nothing but digests.
func FuzzManifest(f *testing.F) {
	const oci = "application/vnd.oci.image."
	for _, seed := range []string{
		`{"schemaVersion":2,"mediaType":"` + oci + `manifest.v1+json","config":{"mediaType":"` + oci + `config.v1+json","digest":"sha256:` + strings.Repeat("0", 64) + `","size":2},"layers":[]}`,
		`{"schemaVersion":2,"manifests":[{"digest":"sha256:../x","size":-1}]}`,
		`{"schemaVersion":2,"manifests":[],"layers":[]}`, `{"schemaVersion":1,"fsLayers":[]}`, `{"Manifests":[],"layers":[]}`, `[]`, `null`, `{"config":null}`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, index bool) {
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest}
		if index {
			desc.MediaType = ocispec.MediaTypeImageIndex
		}
		if checkDocument(data, desc) != nil {
			return
		}
		var m ocispec.Manifest
		var i ocispec.Index
		asManifest, asIndex := json.Unmarshal(data, &m), json.Unmarshal(data, &i)
		if asManifest == nil && asIndex == nil && len(m.Layers) > 0 && len(i.Manifests) > 0 {
			t.Errorf("both a manifest and an index: %s", data)
		}
		if index || asManifest != nil || checkDescriptors(m) != nil {
			return
		}
		if len(m.Layers) > maxLayers || images.IsManifestType(m.MediaType) && m.MediaType != desc.MediaType {
			t.Errorf("passed: %s", data)
		}
		for _, d := range m.Layers {
			if strings.ContainsAny(d.Digest.String(), "/.") {
				t.Errorf("a digest that is a path: %q", d.Digest)
			}
		}
	})
}

// FuzzReference: a name that is taken is what it says when it is read again, and never a path that leads anywhere.
func FuzzReference(f *testing.F) {
	for _, seed := range []string{"alpine", "a/b:c", "localhost:5000/x@sha256:" + strings.Repeat("a", 64), "../x", "[::1]:5000/x", "A", "x:" + strings.Repeat("t", 200), "docker.io//x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := archivedName(map[string]string{images.AnnotationImageName: s})
		if err != nil || name == "" {
			return
		}
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil || named.String() != name {
			t.Errorf("%q became %q: %v", s, name, err)
		}
		if strings.Contains(name, "..") && strings.Contains(name, "/../") || strings.HasPrefix(name, "/") || strings.ContainsAny(name, "\x00\n ") {
			t.Errorf("%q became %q", s, name)
		}
	})
}

// FuzzChallenge: no answer of a registry makes the reading of its challenges panic or go on for ever.
func FuzzChallenge(f *testing.F) {
	for _, seed := range []string{
		`Bearer realm="https://auth.example/token",service="registry",scope="repository:x:pull"`, `Basic realm="x"`, `Bearer`, `Bearer realm=`,
		`Digest realm="a\"b", qop=auth`, `Bearer realm="` + strings.Repeat(`\`, 100), `,,,=`, "Bearer\x00realm",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range auth.ParseAuthHeader(http.Header{"Www-Authenticate": {s}}) {
			if len(c.Parameters) > len(s) {
				t.Errorf("%q: %d parameters", s, len(c.Parameters))
			}
		}
	})
}
