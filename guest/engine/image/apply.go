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
	none := ocispec.Descriptor{}
	var config diff.ApplyConfig
	for _, opt := range opts {
		if err := opt(ctx, desc, &config); err != nil {
			return none, err
		}
	}
	if _, err := images.DiffCompression(ctx, desc.MediaType); err != nil {
		return none, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unsupported layer media type %q", desc.MediaType))
	}
	dir, below, err := layerFolders(mounts)
	if err != nil {
		return none, err
	}
	blob, size, err := a.s.openBlob(ctx, desc.Digest)
	if err != nil {
		return none, err
	}
	defer blob.Close()
	got, err := layer.Apply(ctx, layer.Request{
		Blob: blob, Size: size, Dir: dir, Below: below, Sync: config.SyncFs, Budget: layer.DefaultBudget, Progress: config.Progress,
	})
	if err != nil {
		return none, err
	}
	a.p.complete(desc)
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Size: got.Size, Digest: got.DiffID}, nil
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
