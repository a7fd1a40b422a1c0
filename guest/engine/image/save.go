package image

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/platforms"
	"github.com/moby/moby/api/types/events"
)

// Save writes images as an archive that Load, `docker load` and OCI tools read. An image given by ID is saved
// without a name. Nothing is written when an image does not exist.
func (s *Store) Save(ctx context.Context, refs []string, w io.Writer) error {
	ctx, done, err := s.leased(ctx)
	if err != nil {
		return err
	}
	defer done()
	opts := []archive.ExportOpt{archive.WithPlatform(platforms.All)}
	ids := []string{}
	for _, ref := range refs {
		if _, err := s.Resolve(ctx, ref); err != nil { // also makes hello
			return err
		}
		e, r, err := s.find(ref)
		if err != nil {
			return err
		}
		// Deleted meanwhile, it must last until it is written.
		if err := s.keepBlob(ctx, e.target.Digest); err != nil {
			return err
		}
		if named := r.reference(); named != nil && !isDigest(r.name) {
			opts = append(opts, archive.WithManifest(e.target, named.String()))
		} else {
			opts = append(opts, archive.WithManifest(e.target))
		}
		ids = append(ids, e.img.ID)
	}
	if err := archive.Export(ctx, s.content, w, opts...); err != nil {
		return fmt.Errorf("save images: %w", err)
	}
	for _, id := range ids {
		s.emit(events.ActionSave, id, map[string]string{"name": id})
	}
	return nil
}
