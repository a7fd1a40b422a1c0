package image

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Save writes images as an archive that Load, `docker load` and OCI tools read. A repository without a tag means all its tags;
// an image given by ID is saved without a name, and one given twice once. With platforms each image must be of one of them.
// Nothing is written when an image does not exist.
func (s *Store) Save(ctx context.Context, refs []string, wish []ocispec.Platform, w io.Writer) error {
	ctx, done, err := s.leased(ctx)
	if err != nil {
		return err
	}
	defer done()
	var list savedImages
	for _, ref := range refs {
		if err := s.addSaved(ctx, &list, ref, wish); err != nil {
			return err
		}
	}
	opts := []archive.ExportOpt{archive.WithPlatform(platforms.All)}
	for _, i := range list {
		opts = append(opts, archive.WithManifest(i.target, i.names...))
	}
	if err := archive.Export(ctx, s.content, w, opts...); err != nil {
		return fmt.Errorf("save images: %w", err)
	}
	for _, i := range list {
		s.emit(events.ActionSave, i.id, map[string]string{"name": i.id})
	}
	return nil
}

// savedImages are the images of an archive, each once, in the order in which they were asked for.
type savedImages []*savedImage

type savedImage struct {
	id     string
	target ocispec.Descriptor
	names  []string // normalised
}

func (l *savedImages) add(id string, target ocispec.Descriptor, name string) {
	at := slices.IndexFunc(*l, func(i *savedImage) bool { return i.id == id })
	if at < 0 {
		at = len(*l)
		*l = append(*l, &savedImage{id: id, target: target})
	}
	if i := (*l)[at]; name != "" && !slices.Contains(i.names, name) {
		i.names = append(i.names, name)
	}
}

// addSaved finds what ref stands for, and keeps it under the context's lease: deleted meanwhile, it must last until it is written.
func (s *Store) addSaved(ctx context.Context, list *savedImages, ref string, wish []ocispec.Platform) error {
	names := []string{ref}
	if named, err := reference.ParseNormalizedNamed(ref); err == nil && reference.IsNameOnly(named) {
		if tags, err := s.pushTargets(named); err == nil {
			names = names[:0]
			for _, t := range tags {
				names = append(names, t.String())
			}
		}
	}
	for _, name := range names {
		if _, err := s.Resolve(ctx, name); err != nil { // also makes hello
			return err
		}
		e, r, err := s.find(name)
		if err != nil {
			return err
		}
		fits := func(p ocispec.Platform) bool { return matcher(&p).Match(e.img.Platform) }
		if len(wish) > 0 && !slices.ContainsFunc(wish, fits) {
			return errdefs.ErrNotFound.WithMessage("no suitable export target found for platform " + platforms.FormatAll(wish[0]))
		}
		if err := s.keepTree(ctx, e.target); err != nil {
			return err
		}
		tag := ""
		if r.reference() != nil && !isDigest(r.name) {
			tag = r.name
		}
		list.add(e.img.ID, e.target, tag)
	}
	return nil
}
