package image

import (
	"context"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// BuilderParts are the stores that a builder in this process shares with us. All of it lies in Namespace.
type BuilderParts struct {
	Content         content.Store
	Snapshotter     snapshots.Snapshotter
	SnapshotterName string
	Leases          leases.Manager // what a lease without our label keeps is the builder's alone
	Applier         diff.Applier
	Images          images.Store // to look images up; AddBuilt adds one
	Registries      docker.RegistryHosts
	GarbageCollect  func(context.Context) (gc.Stats, error)
}

// BuilderParts returns them. They are valid until Close.
func (s *Store) BuilderParts() BuilderParts {
	var endpoints sync.Map // registry's name to endpoint, so that connections are used again
	return BuilderParts{
		Content: buildersContent{s.content}, Snapshotter: s.snaps, SnapshotterName: snapshotterName, Leases: buildersLeases{metadata.NewLeaseManager(s.db), s},
		Applier: applier{s, nil},
		Images:  lookup{s},
		Registries: func(host string) ([]docker.RegistryHost, error) {
			return s.buildersHost(&endpoints, host)
		},
		GarbageCollect: func(ctx context.Context) (gc.Stats, error) { return nil, s.Collect(ctx) },
	}
}

// buildersContent does not write down what is there already: the builder gives every blob of its base images the same labels
// again in each build.
type buildersContent struct{ content.Store }

func (c buildersContent) Update(ctx context.Context, info content.Info, fieldpaths ...string) (content.Info, error) {
	is, err := c.Info(ctx, info.Digest)
	if err != nil || len(fieldpaths) == 0 {
		return c.Store.Update(ctx, info, fieldpaths...)
	}
	for _, path := range fieldpaths {
		label, ok := strings.CutPrefix(path, "labels.")
		if !ok || is.Labels[label] == "" || is.Labels[label] != info.Labels[label] {
			return c.Store.Update(ctx, info, fieldpaths...)
		}
	}
	return is, nil
}

// buildersLeases sees to it that what a lease kept goes when it goes: the builder drops the layer of a step that has failed so.
type buildersLeases struct {
	leases.Manager
	s *Store
}

func (l buildersLeases) Delete(ctx context.Context, lease leases.Lease, opts ...leases.DeleteOpt) error {
	full := freeBytes(l.s.o.Root) < 2*reserveSize // with or without the reserve
	if full {
		l.s.useReserve()
	}
	if err := l.Manager.Delete(ctx, lease, opts...); err != nil {
		return err
	}
	if full { // what comes next, the builder's own record of it, needs the room
		return l.s.Collect(ctx)
	}
	l.s.collector.trigger()
	return nil
}

// buildersHost is a registry whose authorizer the builder brings: that one asks the token server by the same client.
func (s *Store) buildersHost(known *sync.Map, name string) ([]docker.RegistryHost, error) {
	e, ok := known.Load(name)
	if !ok {
		made, err := s.endpoint(context.Background(), name)
		if err != nil {
			return nil, err
		}
		e, _ = known.LoadOrStore(name, made)
	}
	h := e.(endpoint).host
	h.Client = e.(endpoint).tokens
	return []docker.RegistryHost{h}, nil
}

// AddBuilt unpacks an image whose content is in the store, and gives it names; without any it is an image without a name.
// The target may be an index: of it the host's platform is taken, else the first. The caller's lease keeps the content.
func (s *Store) AddBuilt(ctx context.Context, target ocispec.Descriptor, names []string) (*Image, error) {
	ctx, done, err := s.leased(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	a, ok, err := s.readArchived(ctx, ocispec.Descriptor{MediaType: target.MediaType, Digest: target.Digest, Size: target.Size}, ocispec.Platform{})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errdefs.ErrInvalidArgument.WithMessage("the build's result is no image: " + target.MediaType)
	}
	if !s.isWhole(ctx, a.tree) {
		if err := s.materialise(ctx, a.tree, nil, nil); err != nil {
			return nil, storeError(err)
		}
	}
	if len(names) == 0 {
		names = []string{danglingPrefix + a.tree.manifest.Config.Digest.String()}
	}
	var img *Image
	for _, name := range names {
		if !strings.HasPrefix(name, danglingPrefix) {
			named, err := tagName(name, "")
			if err != nil {
				return nil, err
			}
			name = named.String()
		}
		r, err := s.newRecord(ctx, name, a.tree)
		if err != nil {
			return nil, err
		}
		if img, err = s.putLoaded(ctx, r); err != nil {
			return nil, err
		}
	}
	return img, nil
}

// isWhole tells whether there is an image of this very manifest already, so that nothing of it has to be fetched or unpacked;
// the context's lease keeps it from then on. A build that finds all in its cache ends so, and would spend half of its time on
// writing down what is written.
func (s *Store) isWhole(ctx context.Context, t tree) bool {
	e := s.index.entry(t.manifest.Config.Digest.String())
	if e == nil || e.target.Digest != t.desc.Digest || len(t.config.RootFS.DiffIDs) == 0 {
		return false
	}
	id, _ := leases.FromContext(ctx)
	top := identity.ChainID(t.config.RootFS.DiffIDs).String()
	for _, r := range []leases.Resource{{ID: t.desc.Digest.String(), Type: "content"}, {ID: top, Type: "snapshots/" + snapshotterName}} {
		if err := s.leases.AddResource(ctx, leases.Lease{ID: id}, r); err != nil {
			return false
		}
	}
	_, err := s.snaps.Stat(ctx, top) // only now can neither be collected any more
	if err == nil {
		_, err = s.content.Info(ctx, t.desc.Digest)
	}
	return err == nil
}

// lookup is the part of containerd's images.Store that only reads.
type lookup struct{ s *Store }

// Get finds an image by its normalised name, and the ones that the engine makes itself.
func (l lookup) Get(ctx context.Context, name string) (images.Image, error) {
	if _, err := l.s.Resolve(ctx, name); err != nil {
		return images.Image{}, err
	}
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return images.Image{}, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	r, ok := l.s.lookupName(named)
	if !ok {
		return images.Image{}, errdefs.ErrNotFound.WithMessage("No such image: " + name)
	}
	return images.Image{Name: name, Target: r.target, CreatedAt: r.updated, UpdatedAt: r.updated}, nil
}

// List returns all images; filters are not needed by anybody.
func (l lookup) List(context.Context, ...string) ([]images.Image, error) {
	var out []images.Image
	for _, r := range l.s.index.list() {
		out = append(out, r.stored())
	}
	return out, nil
}

func (lookup) Create(context.Context, images.Image) (images.Image, error) {
	return images.Image{}, errReadOnly
}

func (lookup) Update(context.Context, images.Image, ...string) (images.Image, error) {
	return images.Image{}, errReadOnly
}

func (lookup) Delete(context.Context, string, ...images.DeleteOpt) error { return errReadOnly }

var errReadOnly = errdefs.ErrNotImplemented.WithMessage("a builder adds images by AddBuilt")
