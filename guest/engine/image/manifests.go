package image

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// manifests describes the manifest of an image: the one that is in use. It reads documents and metadata, never a layer.
func (s *Store) manifests(ctx context.Context, e *entry) ([]image.ManifestSummary, error) {
	ctx = s.context(ctx)
	var m ocispec.Manifest
	if err := s.readJSON(ctx, e.target, &m); err != nil {
		if errdefs.IsNotFound(err) { // removed since
			return nil, nil
		}
		return nil, err
	}
	sum := image.ManifestSummary{
		ID: e.target.Digest.String(), Kind: image.ManifestKindImage, Available: true, ImageData: &image.ImageProperties{Platform: e.img.Platform},
		Descriptor: ocispec.Descriptor{MediaType: e.target.MediaType, Digest: e.target.Digest, Size: e.target.Size},
	}
	counted := map[digest.Digest]bool{}
	for _, d := range append([]ocispec.Descriptor{e.target, m.Config}, m.Layers...) {
		if counted[d.Digest] {
			continue
		}
		counted[d.Digest] = true
		if _, err := s.content.Info(ctx, d.Digest); err != nil {
			sum.Available = false
			continue
		}
		sum.Size.Content += d.Size
	}
	sum.ImageData.Size.Unpacked = e.img.Size
	sum.Size.Total = sum.Size.Content + e.img.Size
	sum.ImageData.Containers = []string{}
	for _, use := range s.inUse(e.img.ID) {
		sum.ImageData.Containers = append(sum.ImageData.Containers, use.Container)
	}
	return []image.ManifestSummary{sum}, nil
}
