package acceptance

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// interopTime is when everything in the images was made.
var interopTime = time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)

// capability is security.capability of a file with cap_net_bind_service=ep.
const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// interopLayers are two layers with what tools may lose: special modes, owners, links, capabilities, whiteouts.
func interopLayers() [][]tar.Header {
	file := func(name string, mode int64, text string) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, PAXRecords: map[string]string{"text": text}}
	}
	dir := func(name string, mode int64) tar.Header {
		return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}
	}
	owned := file("t/owned", 0o640, "owned")
	owned.Uid, owned.Gid = 1234, 5678
	capable := file("t/capable", 0o755, "capable")
	capable.PAXRecords["SCHILY.xattr.security.capability"] = capability
	long := "t/" + strings.Repeat("long", 40)
	return [][]tar.Header{
		{
			dir("t/", 0o755), dir("t/sticky/", 0o1777), dir("t/opaque/", 0o755), file("t/opaque/old", 0o644, "old"), file("t/gone", 0o644, "gone"),
			file("t/setuid", 0o4755, "setuid"), owned, capable, file(long, 0o644, "long"), file("t/ünïcode", 0o600, "x"), file("t/changed", 0o644, "one"),
			{Typeflag: tar.TypeLink, Name: "t/hard", Linkname: "t/setuid", Mode: 0o4755},
			{Typeflag: tar.TypeSymlink, Name: "t/soft", Linkname: "../etc/x", Mode: 0o777},
			{Typeflag: tar.TypeFifo, Name: "t/fifo", Mode: 0o600},
		},
		{
			dir("t/", 0o755), file("t/.wh.gone", 0o600, ""), dir("t/opaque/", 0o700), file("t/opaque/.wh..wh..opq", 0o600, ""),
			file("t/opaque/new", 0o644, "new"), file("t/changed", 0o600, "two"),
		},
	}
}

// interopImage has the program of the hello image and the two layers, packed as the media type says.
func interopImage(arch string, pack types.MediaType) (v1.Image, error) {
	program, err := os.ReadFile(filepath.Join(root, "bin/naru-hello"))
	if err != nil {
		return nil, err
	}
	image := v1.Image(empty.Image)
	if pack.IsLayer() && pack != types.DockerLayer {
		image = mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
	}
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		Architecture: arch, OS: "linux", Created: v1.Time{Time: interopTime}, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Entrypoint: []string{"/naru-hello"}, Env: []string{"PATH=/usr/bin", "A=b c"}, Labels: map[string]string{"interop": arch},
			WorkingDir: "/t", User: "0:0", ExposedPorts: map[string]struct{}{"80/tcp": {}}, StopSignal: "SIGINT",
		},
	})
	if err != nil {
		return nil, err
	}
	layers := interopLayers()
	layers[0] = append(layers[0], tar.Header{Typeflag: tar.TypeReg, Name: "naru-hello", Mode: 0o755, PAXRecords: map[string]string{"text": string(program)}})
	for i, headers := range layers {
		layer, err := interopLayer(headers, pack)
		if err != nil {
			return nil, err
		}
		history := v1.History{Created: v1.Time{Time: interopTime}, CreatedBy: "layer"}
		if i == 0 {
			history.Comment = "first"
		}
		if image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: history, MediaType: pack}); err != nil {
			return nil, err
		}
	}
	return image, nil
}

func interopLayer(headers []tar.Header, pack types.MediaType) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		text := h.PAXRecords["text"]
		if delete(h.PAXRecords, "text"); len(h.PAXRecords) == 0 {
			h.PAXRecords = nil
		}
		h.Size, h.ModTime, h.Format = int64(len(text)), interopTime, tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if pack == types.OCIUncompressedLayer {
		return static.NewLayer(b.Bytes(), pack), nil
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, tarball.WithMediaType(pack))
}

// interopIndex is what buildx pushes: an image for two platforms, and an attestation of each.
func interopIndex() (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for arch, pack := range map[string]types.MediaType{"amd64": types.OCILayer, "arm64": types.OCILayer} {
		image, err := interopImage(arch, pack)
		if err != nil {
			return nil, err
		}
		digest, err := image.Digest()
		if err != nil {
			return nil, err
		}
		statement := static.NewLayer([]byte(`{"_type":"https://in-toto.io/Statement/v0.1"}`), "application/vnd.in-toto+json")
		attestation, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON),
			mutate.Addendum{Layer: statement, MediaType: "application/vnd.in-toto+json", Annotations: map[string]string{"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}})
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index,
			mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}},
			mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{
				Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
				Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest.String()},
			}})
	}
	return index, nil
}

// makeInterop pushes the image in Docker's format, and writes OCI layouts of an uncompressed one and of the index.
func makeInterop(ref, dir string) error {
	image, err := interopImage("amd64", types.DockerLayer)
	if err != nil {
		return err
	}
	to, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return err
	}
	if err := remote.Write(to, image); err != nil {
		return err
	}
	loose, err := interopImage("amd64", types.OCIUncompressedLayer)
	if err != nil {
		return err
	}
	path, err := layout.Write(filepath.Join(dir, "loose"), empty.Index)
	if err != nil {
		return err
	}
	if err := path.AppendImage(loose); err != nil {
		return err
	}
	index, err := interopIndex()
	if err != nil {
		return err
	}
	if path, err = layout.Write(filepath.Join(dir, "index"), empty.Index); err != nil {
		return err
	}
	return path.AppendIndex(index)
}
