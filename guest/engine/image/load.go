package image

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Load reads images from an archive as `docker save` or OCI tools write it; plain, gzip, zstd, xz or bzip2. Of an image
// for several platforms it takes the one asked for, else the host's, else the one the archive holds. On an error no image is named.
func (s *Store) Load(ctx context.Context, r io.Reader, o LoadOptions) ([]*Image, error) {
	ctx, done, err := s.leased(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	archived, err := s.readArchive(ctx, r, o.Platforms)
	if err != nil {
		return nil, err
	}
	p := newLayerProgress(o.Progress)
	layers := p
	if o.Quiet {
		layers = nil
	}
	var records []record
	for _, a := range archived {
		if err := s.materialise(ctx, a.tree, nil, layers); err != nil {
			return nil, archiveError(err)
		}
		name := a.name
		if name == "" {
			name = danglingPrefix + a.tree.manifest.Config.Digest.String()
		}
		rec, err := s.newRecord(ctx, name, a.tree)
		if err != nil {
			return nil, err
		}
		records = append(records, rec)
	}
	var out []*Image
	for _, rec := range records {
		img, err := s.putLoaded(ctx, rec)
		if err != nil {
			return nil, err
		}
		out = append(out, img)
	}
	for i, img := range out {
		line := "Loaded image: " + img.Name
		if img.Name == "" {
			line = "Loaded image ID: " + img.ID
		}
		p.message(Message{Stream: line + "\n"})
		s.emit(events.ActionLoad, records[i].id(), map[string]string{"name": img.ID})
	}
	return out, nil
}

func (s *Store) putLoaded(ctx context.Context, r record) (*Image, error) {
	ref := r.id()
	if r.reference() != nil {
		ref = r.name
		if old, ok := s.index.record(r.name); ok && old.config == r.config { // pulled perhaps: what the registry has stays known
			r = old
		}
	} else if s.index.entry(r.id()) != nil && !s.index.isHeld(r.id()) { // it has a name already
		return s.Resolve(ctx, ref)
	}
	if err := s.put(ctx, r); err != nil {
		return nil, err
	}
	return s.Resolve(ctx, ref)
}

// archived is one image of an archive.
type archived struct {
	name string // normalised; "" for none
	tree tree
}

// readArchive brings all blobs of an archive into the content store and finds the images among them.
func (s *Store) readArchive(ctx context.Context, r io.Reader, wish []ocispec.Platform) ([]archived, error) {
	data, err := plain(contextReader{ctx, r})
	if err != nil {
		return nil, err
	}
	defer data.Close()
	root, err := archive.ImportIndex(ctx, ingest{s.content, "load-" + rand.Text() + "-"}, data)
	if err != nil {
		return nil, archiveError(err)
	}
	if _, err := io.Copy(io.Discard, data); err != nil { // a damaged end is damage too
		return nil, archiveError(err)
	}
	var index ocispec.Index
	if err := s.readJSON(ctx, root, &index); err != nil {
		return nil, archiveError(err)
	}
	if len(wish) == 0 {
		wish = []ocispec.Platform{{}} // any
	}
	var out []archived
	for _, desc := range index.Manifests {
		for i := range wish {
			a, ok, err := s.readArchived(ctx, desc, wish[i])
			if err != nil {
				return nil, archiveError(err)
			}
			if ok {
				out = append(out, a)
			}
		}
	}
	switch {
	case len(out) == 0 && wish[0].OS != "":
		return nil, errdefs.ErrNotFound.WithMessage("the archive holds no image for the platform " + platforms.FormatAll(wish[0]))
	case len(out) == 0:
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid archive: it holds no image")
	}
	return out, nil
}

// readArchived follows one entry of the archive's index. It is no image when it is something else, such as an
// attestation, and none that is asked for when it is of another platform.
func (s *Store) readArchived(ctx context.Context, desc ocispec.Descriptor, wish ocispec.Platform) (archived, bool, error) {
	name, err := archivedName(desc.Annotations)
	if err != nil {
		return archived{}, false, err
	}
	for depth := 0; images.IsIndexType(desc.MediaType); depth++ {
		var index ocispec.Index
		if depth == maxNesting {
			return archived{}, false, errdefs.ErrInvalidArgument.WithMessage("the archive's index is nested too deep")
		}
		if err := s.readJSON(ctx, desc, &index); err != nil {
			return archived{}, false, err
		}
		if desc, err = s.chooseArchived(ctx, index.Manifests, wish); err != nil {
			return archived{}, false, ignoreMissing(err, wish)
		}
	}
	if !images.IsManifestType(desc.MediaType) {
		return archived{}, false, nil
	}
	t, err := s.readTree(ctx, desc)
	if err != nil {
		return archived{}, false, err
	}
	if err := s.readConfig(ctx, &t); err != nil {
		return archived{}, false, err
	}
	fits := wish.OS == "" || matcher(&wish).Match(platforms.Normalize(t.config.Platform))
	return archived{name, t}, fits, nil
}

// ignoreMissing forgives an index that it has not the platform that is asked for: another image of the archive may have it.
func ignoreMissing(err error, wish ocispec.Platform) error {
	if wish.OS != "" && errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// chooseArchived picks the platform that is asked for; with none the host's, else the first that the archive holds.
func (s *Store) chooseArchived(ctx context.Context, list []ocispec.Descriptor, wish ocispec.Platform) (ocispec.Descriptor, error) {
	var present []ocispec.Descriptor
	for _, d := range list {
		if _, err := s.content.Info(ctx, d.Digest); err == nil && d.Annotations["vnd.docker.reference.type"] == "" {
			present = append(present, d)
		}
	}
	if wish.OS != "" {
		return choose(present, &wish)
	}
	if d, err := choose(present, nil); err == nil || len(present) == 0 {
		return d, err
	}
	return present[0], nil
}

// archivedName is the image's name in an archive's index, normalised. OCI archives carry anything from a full
// reference to a lone tag, which names nothing.
func archivedName(annotations map[string]string) (string, error) {
	name := annotations[images.AnnotationImageName]
	if name == "" {
		name = annotations[ocispec.AnnotationRefName]
		if !strings.ContainsAny(name, ":/") {
			return "", nil
		}
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("image name %q: %s", name, err))
	}
	if _, ok := named.(reference.Digested); ok { // a digest is no name of ours to give
		return "", nil
	}
	return reference.TagNameOnly(named).String(), nil
}
