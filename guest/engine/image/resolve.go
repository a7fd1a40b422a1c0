package image

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxJSON bounds manifests, indexes and configs, in bytes: they are read into memory whole. Docker's bound for
// manifests is 4 MiB.
const maxJSON = 8 << 20

// upperdirLabel is set by the overlay snapshotter in Stat.
const upperdirLabel = "containerd.io/snapshot/overlay.upperdir"

var idPattern = regexp.MustCompile(`^(sha256:)?[0-9a-f]{1,64}$`)

// Resolve finds an image by name[:tag], name@digest, ID or unique prefix of an ID. Not found is
// errdefs.ErrNotFound with "No such image: x:latest".
func (s *Store) Resolve(ctx context.Context, ref string) (*Image, error) {
	e, r, err := s.find(ref)
	if wantsHello(ref) && (errdefs.IsNotFound(err) || r.hello != "") {
		if e2, r2, err2 := s.ensureHello(ctx, r); err2 != nil {
			s.log.Warn("make the hello image", "error", err2)
		} else if e2 != nil {
			e, r, err = e2, r2, nil
		}
	}
	if err != nil {
		return nil, err
	}
	img := *e.img
	if named := r.reference(); named != nil {
		img.Name = reference.FamiliarString(named)
	}
	return &img, nil
}

// find looks an image up in memory. The record is the one it was found by; empty when found by ID.
func (s *Store) find(ref string) (*entry, record, error) {
	named, err := reference.ParseDockerRef(ref) // with a tag and a digest only the digest counts
	if err == nil {
		if r, ok := s.lookupName(named); ok {
			return s.index.entry(r.id()), r, nil
		}
	}
	if e := s.lookupID(ref); e != nil {
		return e, record{}, nil
	}
	switch {
	case err == nil:
		ref = reference.FamiliarString(named)
	case !idPattern.MatchString(ref):
		return nil, record{}, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return nil, record{}, errdefs.ErrNotFound.WithMessage("No such image: " + ref)
}

func (s *Store) lookupName(named reference.Named) (record, bool) {
	if r, ok := s.index.record(named.String()); ok {
		return r, true
	}
	if _, ok := named.(reference.Canonical); !ok {
		return record{}, false
	}
	for _, r := range s.index.list() { // pulled by tag, asked for by digest
		if r.pulled == named.String() {
			r.name = r.pulled
			return r, true
		}
	}
	return record{}, false
}

func (s *Store) lookupID(ref string) *entry {
	if !idPattern.MatchString(ref) {
		return nil
	}
	prefix := "sha256:" + strings.TrimPrefix(ref, "sha256:")
	var found *entry
	for _, e := range s.index.shown() {
		if strings.HasPrefix(e.img.ID, prefix) {
			if found != nil {
				return nil // ambiguous
			}
			found = e
		}
	}
	return found
}

// Layers returns the overlay lower directories of an image, topmost first. They stay valid while the image exists
// or Options.InUse names a container of it. Cached: after the first call for an image it reads memory only. The
// caller must not change the slice.
func (s *Store) Layers(ctx context.Context, imageID string) ([]string, error) {
	s.index.mu.RLock()
	e := s.index.entries[imageID]
	var cached []string
	if e != nil {
		cached = e.layers
	}
	s.index.mu.RUnlock()
	if e == nil {
		return nil, errdefs.ErrNotFound.WithMessage("No such image: " + imageID)
	}
	if cached != nil {
		return cached, nil
	}
	dirs, err := s.layerDirs(s.context(ctx), e.img.DiffIDs)
	if err != nil {
		return nil, fmt.Errorf("layers of image %s: %w", imageID, err)
	}
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	if e := s.index.entries[imageID]; e != nil {
		e.layers = dirs
	}
	return dirs, nil
}

func (s *Store) layerDirs(ctx context.Context, diffIDs []digest.Digest) ([]string, error) {
	if len(diffIDs) == 0 { // an image FROM scratch; overlay wants at least one lower directory
		dir := filepath.Join(s.o.Root, "snapshots", "empty")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		return []string{dir}, nil
	}
	chain := identity.ChainIDs(append([]digest.Digest(nil), diffIDs...))
	dirs := make([]string, 0, len(chain))
	for i := len(chain) - 1; i >= 0; i-- {
		info, err := s.snaps.Stat(ctx, chain[i].String())
		if err != nil {
			return nil, err
		}
		dirs = append(dirs, info.Labels[upperdirLabel])
	}
	return dirs, nil
}

// readImage makes the description of an image from its config.
func (s *Store) readImage(ctx context.Context, r record) (*Image, error) {
	var config dockerspec.DockerOCIImage
	if err := s.readJSON(ctx, ocispec.Descriptor{Digest: r.config}, &config); err != nil {
		return nil, fmt.Errorf("image config: %w", err)
	}
	img := &Image{
		ID:       r.id(),
		Size:     r.size,
		Author:   config.Author,
		Platform: platforms.Normalize(config.Platform),
		DiffIDs:  config.RootFS.DiffIDs,
		History:  config.History,
		Config:   config.Config,
	}
	if config.Created != nil {
		img.Created = *config.Created
	}
	if n := len(config.History); n > 0 {
		img.Comment = config.History[n-1].Comment
	}
	return img, nil
}

// readJSON decodes a blob that is at most maxJSON bytes.
func (s *Store) readJSON(ctx context.Context, desc ocispec.Descriptor, v any) error {
	info, err := s.content.Info(ctx, desc.Digest)
	if err != nil {
		return err
	}
	if info.Size > maxJSON {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is too large: %d bytes", desc.Digest, info.Size))
	}
	data, err := content.ReadBlob(ctx, s.content, ocispec.Descriptor{Digest: desc.Digest, Size: info.Size})
	if err != nil {
		return err
	}
	if images.IsManifestType(desc.MediaType) || images.IsIndexType(desc.MediaType) {
		if err := checkDocument(data, desc); err != nil {
			return err
		}
	}
	if err := json.Unmarshal(data, v); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s: %s", desc.Digest, err))
	}
	return nil
}
