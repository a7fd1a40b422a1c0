package image

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
)

// layerUse is an unpacked layer of images that are shown.
type layerUse struct {
	size   int64 // bytes, measured when it was unpacked
	images int   // how many have it
}

// layerUses returns the layers of all images by chain ID. It reads the metadata, never the layers themselves.
func (s *Store) layerUses(ctx context.Context) (map[digest.Digest]*layerUse, error) {
	ctx = s.context(ctx)
	uses := map[digest.Digest]*layerUse{}
	for _, e := range s.index.shown() {
		for _, id := range chainIDs(e.img) {
			if use := uses[id]; use != nil {
				use.images++
				continue
			}
			usage, err := s.snaps.Usage(ctx, id.String())
			if errdefs.IsNotFound(err) { // removed since
				continue
			}
			if err != nil {
				return nil, err
			}
			uses[id] = &layerUse{size: usage.Size, images: 1}
		}
	}
	return uses, nil
}

func chainIDs(img *Image) []digest.Digest {
	return identity.ChainIDs(append([]digest.Digest(nil), img.DiffIDs...))
}

// LayersSize is what the layers of all images take on disk, each counted once, in bytes.
func (s *Store) LayersSize(ctx context.Context) (int64, error) {
	uses, err := s.layerUses(ctx)
	var total int64
	for _, use := range uses {
		total += use.size
	}
	return total, err
}

// fillShared says of each image how much of it other images have too.
func (s *Store) fillShared(ctx context.Context, list []image.Summary) error {
	uses, err := s.layerUses(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		e := s.index.entry(list[i].ID)
		if e == nil {
			continue
		}
		list[i].SharedSize = 0
		for _, id := range chainIDs(e.img) {
			if use := uses[id]; use != nil && use.images > 1 {
				list[i].SharedSize += use.size
			}
		}
	}
	return nil
}
