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
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Load reads images from an archive as `docker save` or OCI tools write it; plain, gzip, zstd or bzip2. Of an image
// for several platforms it takes the host's, else the one the archive holds. On an error no image is named.
func (s *Store) Load(ctx context.Context, r io.Reader, progress Progress) ([]*Image, error) {
	ctx, done, err := s.leased(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	archived, err := s.readArchive(ctx, r)
	if err != nil {
		return nil, err
	}
	p := newLayerProgress(progress)
	var records []record
	for _, a := range archived {
		if err := s.materialise(ctx, a.tree, nil, p); err != nil {
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
func (s *Store) readArchive(ctx context.Context, r io.Reader) ([]archived, error) {
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
	var out []archived
	for _, desc := range index.Manifests {
		a, ok, err := s.readArchived(ctx, desc)
		if err != nil {
			return nil, archiveError(err)
		}
		if ok {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid archive: it holds no image")
	}
	return out, nil
}

// readArchived follows one entry of the archive's index. It is no image when it is something else, such as an
// attestation.
func (s *Store) readArchived(ctx context.Context, desc ocispec.Descriptor) (archived, bool, error) {
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
		if desc, err = s.chooseArchived(ctx, index.Manifests); err != nil {
			return archived{}, false, err
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
	return archived{name, t}, true, nil
}

// chooseArchived picks the host's platform, else the first that the archive holds.
func (s *Store) chooseArchived(ctx context.Context, list []ocispec.Descriptor) (ocispec.Descriptor, error) {
	var present []ocispec.Descriptor
	for _, d := range list {
		if _, err := s.content.Info(ctx, d.Digest); err == nil && d.Annotations["vnd.docker.reference.type"] == "" {
			present = append(present, d)
		}
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
