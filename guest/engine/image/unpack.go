package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/unpack"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// What is done at once, for it takes memory: a download a buffer of 1 MiB, a process that unpacks some 10 MB and what its
// decompressor holds.
const (
	fetchesOfImage = 4 // layers of one image that are downloaded at once
	fetchesAtOnce  = 6
	unpacksAtMost  = 4 // there are no more than processors, but two
)

func unpacksAtOnce() int64 { return int64(min(max(2, runtime.NumCPU()), unpacksAtMost)) }

// limiters is each of them.
type limiters []*semaphore.Weighted

func (l limiters) Acquire(ctx context.Context, n int64) error {
	for i, each := range l {
		if err := each.Acquire(ctx, n); err != nil {
			l[:i].Release(n)
			return err
		}
	}
	return nil
}

func (l limiters) Release(n int64) {
	for _, each := range l {
		each.Release(n)
	}
}

// tree is a manifest with what hangs from it, as far as it was read.
type tree struct {
	desc     ocispec.Descriptor
	manifest ocispec.Manifest
	config   ocispec.Image
}

// readTree reads a manifest and its config, and checks that they are those of a container image.
func (s *Store) readTree(ctx context.Context, desc ocispec.Descriptor) (tree, error) {
	t := tree{desc: desc}
	if err := s.readJSON(ctx, desc, &t.manifest); err != nil {
		return t, fmt.Errorf("read manifest: %w", err)
	}
	if !images.IsConfigType(t.manifest.Config.MediaType) {
		return t, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"not a container image: its config is of type %q", t.manifest.Config.MediaType))
	}
	return t, checkDescriptors(t.manifest)
}

func (s *Store) readConfig(ctx context.Context, t *tree) error {
	if err := s.readJSON(ctx, t.manifest.Config, &t.config); err != nil {
		return fmt.Errorf("read image config: %w", err)
	}
	if n, m := len(t.manifest.Layers), len(t.config.RootFS.DiffIDs); n != m {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"invalid rootfs in image configuration: %d layers but %d diff IDs", n, m))
	}
	for _, d := range t.config.RootFS.DiffIDs {
		if err := d.Validate(); err != nil {
			return errdefs.ErrInvalidArgument.WithMessage("invalid rootfs in image configuration: " + err.Error())
		}
	}
	return nil
}

// materialise fetches what is missing of an image (fetcher nil: nothing may be missing) and unpacks it, both at
// once, and labels the content for the collector. The context carries a lease.
func (s *Store) materialise(ctx context.Context, t tree, fetcher remotes.Fetcher, p *layerProgress) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st := s.newStaging(t, p)
	u, err := unpack.NewUnpacker(ctx, s.content,
		unpack.WithUnpackPlatform(unpack.Platform{
			SnapshotterKey:          snapshotterName,
			Snapshotter:             st,
			SnapshotterCapabilities: []string{snapshots.RebaseCap},
			Applier:                 st,
			ApplyOpts:               []diff.ApplyOpt{diff.WithProgress(p.extracting)},
		}),
		unpack.WithFetchAllContent(),
		unpack.WithDuplicationSuppressor(&s.keys),
		unpack.WithLimiter(limiters{semaphore.NewWeighted(fetchesOfImage), s.fetches}),
		unpack.WithUnpackLimiter(s.unpacks))
	if err != nil {
		return err
	}
	children := images.SetChildrenMappedLabels(s.content, images.ChildrenHandler(s.content), images.ChildGCLabels)
	handler := images.Handlers(s.fetchHandler(fetcher, p), children)
	err = images.Dispatch(ctx, u.Unpack(handler), nil, t.desc)
	if err != nil {
		cancel()
	}
	if _, unpackErr := u.Wait(); err == nil || errors.Is(err, context.Canceled) {
		err = unpackErr
	}
	return layerError(firstError(err))
}

// firstError is the one that the unpacker met first: it joins those of all layers, and the later ones only say "aborted".
func firstError(err error) error {
	for {
		all, ok := err.(interface{ Unwrap() []error })
		if !ok {
			return err
		}
		err = all.Unwrap()[0]
	}
}

// fetchHandler brings one blob into the content store.
func (s *Store) fetchHandler(fetcher remotes.Fetcher, p *layerProgress) images.HandlerFunc {
	return func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		isJSON := !images.IsLayerType(desc.MediaType)
		if isJSON && desc.Size > maxJSON {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is too large: %d bytes", desc.Digest, desc.Size))
		}
		if fetcher == nil {
			return nil, s.keepBlob(ctx, desc.Digest)
		}
		desc.URLs = nil // an image must not make us call servers of its choice
		if err := s.fetchBlob(ctx, progressFetcher{chunkedFetcher{fetcher, s.chunks}, p}, desc); err != nil {
			return nil, err
		}
		p.fetched(desc)
		return nil, nil
	}
}

// keepBlob puts a blob that must be there already under the context's lease.
func (s *Store) keepBlob(ctx context.Context, d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	lease, _ := leases.FromContext(ctx)
	err := s.leases.AddResource(ctx, leases.Lease{ID: lease}, leases.Resource{ID: d.String(), Type: "content"})
	if err != nil {
		return fmt.Errorf("keep content: %w", err)
	}
	_, err = s.content.Info(ctx, d) // only now can it not be collected any more
	return err
}

// digestError words a verification that failed as Docker does.
func digestError(desc ocispec.Descriptor, err error) error {
	wrong := errdefs.IsFailedPrecondition(err) &&
		(strings.Contains(err.Error(), "unexpected commit") || strings.Contains(err.Error(), "exceeds expected size") ||
			strings.Contains(err.Error(), "past expected size"))
	if !wrong {
		return err
	}
	what := "manifest"
	if images.IsLayerType(desc.MediaType) {
		what = "filesystem layer"
	} else if images.IsConfigType(desc.MediaType) {
		what = "image config"
	}
	return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("%s verification failed for digest %s", what, desc.Digest))
}

func layerError(err error) error {
	if err != nil && strings.Contains(err.Error(), "wrong diff id") {
		return errdefs.ErrFailedPrecondition.WithMessage("filesystem layer verification failed: " + innermost(err))
	}
	return err
}

// innermost is the text of the error at the bottom.
func innermost(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

// layerSizes are the bytes of each layer's files, bottom layer first.
func (s *Store) layerSizes(ctx context.Context, diffIDs []digest.Digest) ([]int64, error) {
	var sizes []int64
	for _, chainID := range identity.ChainIDs(append([]digest.Digest(nil), diffIDs...)) {
		usage, err := s.snaps.Usage(ctx, chainID.String())
		if err != nil {
			return nil, fmt.Errorf("size of layer: %w", err)
		}
		sizes = append(sizes, usage.Size)
	}
	return sizes, nil
}

// newRecord describes an unpacked image under a name.
func (s *Store) newRecord(ctx context.Context, name string, t tree) (record, error) {
	sizes, err := s.layerSizes(ctx, t.config.RootFS.DiffIDs)
	if err != nil {
		return record{}, err
	}
	var size int64
	for _, n := range sizes {
		size += n
	}
	target := ocispec.Descriptor{MediaType: t.desc.MediaType, Digest: t.desc.Digest, Size: t.desc.Size}
	return record{name: name, target: target, config: t.manifest.Config.Digest, size: size}, nil
}

type progressFetcher struct {
	remotes.Fetcher
	p *layerProgress
}

func (f progressFetcher) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	rc, err := f.Fetcher.Fetch(ctx, desc)
	if err != nil || f.p == nil {
		return rc, err
	}
	return f.p.reader(desc, rc), nil
}
