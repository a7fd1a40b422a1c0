package image

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/klauspost/compress/gzip"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/events"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// CommitOptions describes an image that is made of another one and a layer.
type CommitOptions struct {
	Parent    string          // ID of the image below; it exists or is in use
	Name      reference.Named // of the new image; nil for none
	Author    string          // "" for the parent's
	Comment   string
	CreatedBy string
	Config    dockerspec.DockerOCIImageConfig
	// Layer writes the new layer as a tar archive, and nothing at all when it would be empty.
	Layer func(ctx context.Context, w io.Writer) error
}

// TagName checks the name of an image to be made: repo, and tag ("latest" when empty). It is nil for an empty repo.
func TagName(repo, tag string) (reference.Named, error) {
	if repo == "" {
		return nil, nil
	}
	return tagName(repo, tag)
}

// Commit makes an image. Until it returns nothing of it can be seen, and what an engine that dies in between leaves is
// collected by the next.
func (s *Store) Commit(ctx context.Context, o CommitOptions) (*Image, error) {
	ctx, done, err := s.leased(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	below, config, err := s.parent(ctx, o.Parent)
	if err != nil {
		return nil, err
	}
	layer, diffID, err := s.commitLayer(ctx, o.Layer)
	if err != nil {
		return nil, storeError(err)
	}
	describe(&config, o, diffID)
	layers := slices.Clone(below.manifest.Layers)
	if diffID != "" {
		chain := identity.ChainID(slices.Clone(below.config.RootFS.DiffIDs))
		got, err := s.applyOn(ctx, chain.String(), layer, nil)
		if err != nil {
			return nil, storeError(fmt.Errorf("unpack layer: %w", err))
		}
		if got != diffID {
			return nil, fmt.Errorf("unpack layer: it is %s, and was %s", got, diffID)
		}
		layers = append(layers, layer)
	}
	t, err := s.writeTree(ctx, layers, config)
	if err != nil {
		return nil, storeError(err)
	}
	return s.nameCommitted(ctx, t, o.Name)
}

// parent reads the image below and keeps it from the collector.
func (s *Store) parent(ctx context.Context, id string) (t tree, config dockerspec.DockerOCIImage, err error) {
	e := s.index.entry(id)
	if e == nil {
		return t, config, errdefs.ErrNotFound.WithMessage("No such image: " + id)
	}
	if err := s.keepBlob(ctx, e.target.Digest); err != nil {
		return t, config, err
	}
	if t, err = s.readTree(ctx, e.target); err != nil {
		return t, config, err
	}
	if err := s.readConfig(ctx, &t); err != nil {
		return t, config, err
	}
	err = s.readJSON(ctx, t.manifest.Config, &config)
	return t, config, err
}

// describe makes the parent's config that of the new image. diffID is empty when there is no new layer.
func describe(config *dockerspec.DockerOCIImage, o CommitOptions, diffID digest.Digest) {
	now := time.Now().UTC()
	if o.Author != "" {
		config.Author = o.Author
	}
	if config.Architecture == "" {
		config.Architecture = runtime.GOARCH
	}
	if config.OS == "" {
		config.OS = runtime.GOOS
	}
	config.Created = &now
	config.Config = o.Config
	config.RootFS.Type = "layers"
	config.RootFS.DiffIDs = slices.Clone(config.RootFS.DiffIDs)
	if diffID != "" {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
	}
	config.History = append(slices.Clone(config.History), ocispec.History{
		Created: &now, CreatedBy: o.CreatedBy, Author: config.Author, Comment: o.Comment, EmptyLayer: diffID == "",
	})
}

// commitLayer stores the layer, compressed, and returns its diff ID: the digest of what was compressed.
func (s *Store) commitLayer(ctx context.Context, write func(context.Context, io.Writer) error) (desc ocispec.Descriptor, diffID digest.Digest, err error) {
	ref := "commit-" + rand.Text()
	w, err := content.OpenWriter(ctx, s.content, content.WithRef(ref))
	if err != nil {
		return desc, "", err
	}
	defer w.Close()
	stored := &countingWriter{w: w}
	buffered := bufio.NewWriterSize(stored, 1<<20)
	z, err := gzip.NewWriterLevel(buffered, gzip.BestSpeed)
	if err != nil {
		return desc, "", err
	}
	plain := &digestingWriter{w: z, hash: sha256.New()}
	if err := write(ctx, plain); err != nil {
		return desc, "", s.dropIngest(ctx, ref, err)
	}
	if plain.n == 0 {
		return desc, "", s.dropIngest(ctx, ref, nil)
	}
	if err := z.Close(); err != nil {
		return desc, "", s.dropIngest(ctx, ref, err)
	}
	if err := buffered.Flush(); err != nil {
		return desc, "", s.dropIngest(ctx, ref, err)
	}
	diffID = digest.NewDigest(digest.SHA256, plain.hash)
	desc = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: w.Digest(), Size: stored.n}
	err = w.Commit(ctx, desc.Size, desc.Digest, content.WithLabels(map[string]string{"containerd.io/uncompressed": diffID.String()}))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return desc, "", err
	}
	return desc, diffID, nil
}

// dropIngest removes what was stored of a layer that is not wanted, and returns cause.
func (s *Store) dropIngest(ctx context.Context, ref string, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if err := s.content.Abort(ctx, ref); err != nil && !errdefs.IsNotFound(err) {
		s.log.Warn("drop unfinished layer", "error", err)
	}
	return cause
}

// nameCommitted makes the image visible.
func (s *Store) nameCommitted(ctx context.Context, t tree, named reference.Named) (*Image, error) {
	name := danglingPrefix + t.manifest.Config.Digest.String()
	if named != nil {
		name = named.String()
	}
	rec, err := s.newRecord(ctx, name, t)
	if err != nil {
		return nil, err
	}
	if err := s.put(ctx, rec); err != nil {
		return nil, storeError(err)
	}
	img, err := s.Resolve(ctx, rec.id())
	if err != nil {
		return nil, err
	}
	s.emit(events.ActionCreate, img.ID, map[string]string{"name": img.ID})
	if named != nil {
		s.emit(events.ActionTag, img.ID, map[string]string{"name": reference.FamiliarString(named)})
	}
	return img, nil
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// digestingWriter computes the digest of what goes through it.
type digestingWriter struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

func (d *digestingWriter) Write(p []byte) (int, error) {
	d.hash.Write(p)
	n, err := d.w.Write(p)
	d.n += int64(n)
	return n, err
}
