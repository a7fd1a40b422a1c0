package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"naru/guest/engine/layer"
)

// applier unpacks straight into the snapshot's folder, with overlay's whiteouts and in a confined child: no mount is
// made. It serves pulls, loads, imports, commits and the builder.
type applier struct {
	s *Store
	p *layerProgress
}

// Apply is diff.Applier's. The blob is in the content store, so its digest has been checked; that of the result, which is
// the layer's diff ID, is the caller's to compare.
func (a applier) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, opts ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	dir, below, err := layerFolders(mounts)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	got, rest, config, err := a.unpack(ctx, desc, dir, opts)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if err := rest.Finish(dir, below); err != nil {
		return ocispec.Descriptor{}, err
	}
	if config.SyncFs {
		return got, layer.Sync(dir)
	}
	return got, nil
}

// unpack is Apply without what needs the layers below, and without a sync.
func (a applier) unpack(ctx context.Context, desc ocispec.Descriptor, dir string, opts []diff.ApplyOpt) (_ ocispec.Descriptor, _ layer.Rest, config diff.ApplyConfig, err error) {
	none := ocispec.Descriptor{}
	for _, opt := range opts {
		if err := opt(ctx, desc, &config); err != nil {
			return none, layer.Rest{}, config, err
		}
	}
	if _, err := images.DiffCompression(ctx, desc.MediaType); err != nil {
		return none, layer.Rest{}, config, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unsupported layer media type %q", desc.MediaType))
	}
	blob, size, err := a.s.openBlob(ctx, desc.Digest)
	if err != nil {
		return none, layer.Rest{}, config, err
	}
	defer blob.Close()
	got, rest, err := layer.Unpack(ctx, layer.Request{Blob: blob, Size: size, Dir: dir, Budget: layer.DefaultBudget, Progress: config.Progress})
	if err != nil {
		return none, layer.Rest{}, config, err
	}
	a.p.complete(desc)
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Size: got.Size, Digest: got.DiffID}, rest, config, nil
}

// layerFolders are the folder to unpack into, and those below it, topmost first.
func layerFolders(mounts []mount.Mount) (dir string, below []string, err error) {
	if len(mounts) != 1 {
		return "", nil, fmt.Errorf("unpack layer: the snapshot has %d mounts, 1 is expected", len(mounts))
	}
	m := mounts[0]
	if m.Type == "bind" {
		return m.Source, nil, nil
	}
	for _, o := range m.Options {
		if v, ok := strings.CutPrefix(o, "upperdir="); ok {
			dir = v
		} else if v, ok := strings.CutPrefix(o, "lowerdir="); ok {
			below = strings.Split(v, ":")
		}
	}
	if m.Type != "overlay" || dir == "" {
		return "", nil, fmt.Errorf("unpack layer: a snapshot of type %q has no folder to write to", m.Type)
	}
	return dir, below, nil
}

// openBlob opens the file of a blob of this namespace.
func (s *Store) openBlob(ctx context.Context, d digest.Digest) (*os.File, int64, error) {
	if err := d.Validate(); err != nil {
		return nil, 0, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	info, err := s.content.Info(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	f, err := os.Open(filepath.Join(s.o.Root, "content", "blobs", d.Algorithm().String(), d.Encoded()))
	return f, info.Size, err
}
