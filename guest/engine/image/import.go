package image

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/events"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Import makes an image with one layer from a file system archive; plain, gzip, zstd or bzip2.
func (s *Store) Import(ctx context.Context, r io.Reader, o ImportOptions) (*Image, error) {
	config, err := importConfig(o)
	if err != nil {
		return nil, err
	}
	name := ""
	if o.Ref != "" {
		named, err := tagName(o.Ref, "")
		if err != nil {
			return nil, err
		}
		name = named.String()
	}
	ctx, done, err := s.leased(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	layer, err := s.writeLayer(ctx, r)
	if err != nil {
		return nil, archiveError(err)
	}
	t, err := s.build(ctx, layer, config, newLayerProgress(o.Progress))
	if err != nil {
		return nil, archiveError(err)
	}
	if name == "" {
		name = danglingPrefix + t.manifest.Config.Digest.String()
	}
	rec, err := s.newRecord(ctx, name, t)
	if err != nil {
		return nil, err
	}
	img, err := s.putLoaded(ctx, rec)
	if err != nil {
		return nil, err
	}
	attributes := map[string]string{"name": img.ID}
	if named := rec.reference(); named != nil {
		attributes["name"] = reference.FamiliarString(named)
	}
	s.emit(events.ActionImport, img.ID, attributes)
	return img, nil
}

func importConfig(o ImportOptions) (dockerspec.DockerOCIImage, error) {
	now := time.Now().UTC()
	config := dockerspec.DockerOCIImage{}
	config.Created = &now
	config.Platform = platforms.DefaultSpec()
	if o.Platform != nil {
		config.Platform = platforms.Normalize(*o.Platform)
	}
	comment := o.Message
	if comment == "" {
		comment = "Imported from -"
	}
	config.History = []ocispec.History{{Created: &now, Comment: comment}}
	return config, ApplyChanges(&config.Config, o.Changes)
}

// writeLayer stores an archive as it comes, but for bzip2, which is no layer format.
func (s *Store) writeLayer(ctx context.Context, r io.Reader) (ocispec.Descriptor, error) {
	buf := bufio.NewReaderSize(contextReader{ctx, r}, 64<<10)
	if startsWith(buf, magicXZ) || startsWith(buf, magicBzip2) {
		data, err := plain(buf)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		buf = bufio.NewReaderSize(data, 64<<10)
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer}
	head, err := buf.Peek(10)
	if err == io.EOF && len(head) == 0 {
		return desc, errdefs.ErrInvalidArgument.WithMessage("invalid archive: it is empty")
	}
	switch compression.DetectCompression(head) {
	case compression.Gzip:
		desc.MediaType = ocispec.MediaTypeImageLayerGzip
	case compression.Zstd:
		desc.MediaType = ocispec.MediaTypeImageLayerZstd
	}
	ref := "import-" + rand.Text()
	w, err := content.OpenWriter(ctx, s.content, content.WithRef(ref))
	if err != nil {
		return desc, err
	}
	defer w.Close()
	if desc.Size, err = io.Copy(w, buf); err != nil {
		return desc, fmt.Errorf("read archive: %w", err)
	}
	desc.Digest = w.Digest()
	if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return desc, err
	}
	return desc, nil
}
