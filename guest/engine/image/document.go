package image

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxLayers is how many layers an image may have: Docker's, whose overlay mounts hold 128 folders with the container's own.
const maxLayers = 127

// maxManifests is how many entries an index may have. Those of real images have some dozens.
const maxManifests = 1024

// document is what tells a manifest from an index.
type document struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        json.RawMessage   `json:"config"`
	Layers        []json.RawMessage `json:"layers"`
	FSLayers      json.RawMessage   `json:"fsLayers"`
	Manifests     []json.RawMessage `json:"manifests"`
}

// checkDocument refuses a manifest or index that could be taken for the other, or for something else than its descriptor
// calls it: two tools would see two images under one digest (CVE-2021-41190). Its digest was checked before.
func checkDocument(data []byte, desc ocispec.Descriptor) error {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return refused(desc, err.Error())
	}
	isManifest := images.IsManifestType(desc.MediaType)
	switch {
	case d.MediaType != "" && d.MediaType != desc.MediaType:
		return refused(desc, fmt.Sprintf("it calls itself %q and was announced as %q", d.MediaType, desc.MediaType))
	case d.SchemaVersion == 1 || d.FSLayers != nil:
		return refused(desc, "schema 1 manifests are not supported: push the image again with a tool of today")
	case isManifest && d.Manifests != nil:
		return refused(desc, "it is a manifest and has the entries of an index")
	case !isManifest && (d.Config != nil || d.Layers != nil):
		return refused(desc, "it is an index and has the config or layers of a manifest")
	case len(d.Layers) > maxLayers:
		return refused(desc, fmt.Sprintf("max depth exceeded: it has %d layers, at most %d are possible", len(d.Layers), maxLayers))
	case len(d.Manifests) > maxManifests:
		return refused(desc, fmt.Sprintf("it has %d manifests, at most %d are possible", len(d.Manifests), maxManifests))
	}
	return nil
}

func refused(desc ocispec.Descriptor, why string) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is refused: %s", desc.Digest, why))
}

// checkDescriptors refuses what a manifest points to and cannot be.
func checkDescriptors(m ocispec.Manifest) error {
	for _, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if err := d.Digest.Validate(); err != nil {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("manifest: digest %q: %s", d.Digest, err))
		}
		if d.Size < 0 {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("manifest: size %d of %s is negative", d.Size, d.Digest))
		}
	}
	for _, d := range m.Layers {
		if _, err := images.DiffCompression(context.Background(), d.MediaType); err != nil || strings.HasSuffix(d.MediaType, "+encrypted") {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unsupported media type %q of layer %s", d.MediaType, d.Digest))
		}
	}
	if m.Config.Size > maxJSON {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("image config %s is too large: %d bytes, at most %d", m.Config.Digest, m.Config.Size, maxJSON))
	}
	return nil
}
