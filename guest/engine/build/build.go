// Package build builds images with BuildKit, in the engine's own process: on the same content store, snapshots, network
// and runtime as containers have.
//
// Nothing of it runs before the first request that needs it. From then on it keeps its cache in <root>/build: which result
// came from which step, as leases and records beside those of the images, so that a base image is stored once. A build ends
// with the engine; the cache is consistent whenever that happens, and what its steps left running and mounted is ended when
// the next engine starts.
//
//	New ─ EndSteps ─ (first request) open ─ … ─ Close
package build

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/cache/remotecache"
	inlinecache "github.com/moby/buildkit/cache/remotecache/inline"
	localcache "github.com/moby/buildkit/cache/remotecache/local"
	registrycache "github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/moby/buildkit/worker"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.etcd.io/bbolt"

	"naru/guest/engine/image"
	"naru/guest/engine/network"
)

// Images is the image store.
type Images interface {
	BuilderParts() image.BuilderParts
	AddBuilt(ctx context.Context, target ocispec.Descriptor, names []string) (*image.Image, error)
}

// Networks gives the steps of a build their network.
type Networks interface {
	Attach(ctx context.Context, req network.Request) (*network.Sandbox, error)
	Detach(ctx context.Context, containerID string) error
}

// Options say what a Builder works with. All are needed.
type Options struct {
	Root     string // the engine's root: build/ is in it
	Run      string // a tmpfs that lives as long as the keeper: build/ is in it
	Cgroup   string // parent of all cgroups of ours: "/naru0"
	Crun     string // path of crun
	Images   Images
	Networks Networks
	Log      *slog.Logger
}

// Builder builds images. Safe for concurrent use.
type Builder struct {
	Options
	sessions *session.Manager

	mu     sync.Mutex // guards all below
	parts  *parts     // nil until the first request
	closed bool
	uploads
}

// parts are what the first request opens.
type parts struct {
	control *control.Controller
	worker  *buildWorker
	context *contextServer
	server  server
}

// New returns a Builder that has opened nothing yet.
func New(o Options) (*Builder, error) {
	sessions, err := session.NewManager()
	if err != nil {
		return nil, fmt.Errorf("make builder: %w", err)
	}
	return &Builder{Options: o, sessions: sessions, uploads: uploads{jobs: map[string]*job{}}}, nil
}

// open returns the parts, opening them at the first call.
func (b *Builder) open(ctx context.Context) (*parts, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, errdefs.ErrUnavailable.WithMessage("the engine is stopping")
	case b.parts != nil:
		return b.parts, nil
	}
	p, err := b.openParts(context.WithoutCancel(ctx))
	if err != nil {
		return nil, fmt.Errorf("open builder: %w", err)
	}
	b.parts = p
	return p, nil
}

func (b *Builder) root() string { return filepath.Join(b.Root, "build") }

func (b *Builder) openParts(ctx context.Context) (_ *parts, err error) {
	if err := os.MkdirAll(b.root(), 0o700); err != nil {
		return nil, err
	}
	var opened []func() error
	defer func() {
		for i := len(opened) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, opened[i]())
		}
	}()
	history, err := boltutil.Open(filepath.Join(b.root(), "history.db"), 0o600, &bbolt.Options{NoFreelistSync: true})
	if err != nil {
		return nil, err
	}
	opened = append(opened, history.Close)
	cache, err := bboltcachestorage.NewStore(filepath.Join(b.root(), "cache.db"))
	if err != nil {
		return nil, err
	}
	opened = append(opened, cache.Close)
	p := &parts{context: newContextServer()}
	if p.worker, err = b.newWorker(ctx, p.context); err != nil {
		return nil, err
	}
	opened = append(opened, p.worker.Close)
	workers := &worker.Controller{}
	if err := workers.Add(p.worker); err != nil {
		return nil, err
	}
	p.control, err = control.NewController(control.Opt{
		SessionManager:   b.sessions,
		WorkerController: workers,
		Frontends:        frontends(workers.Infos()),
		CacheManager:     solver.NewCacheManager(ctx, "local", cache, worker.NewCacheResultStorage(workers)),
		CacheStore:       cache,
		ResolveCacheImporterFuncs: map[string]remotecache.ResolveCacheImporterFunc{
			"local":    localcache.ResolveCacheImporterFunc(b.sessions),
			"registry": registrycache.ResolveCacheImporterFunc(b.sessions, p.worker.ContentStore(), p.worker.RegistryHosts),
		},
		ResolveCacheExporterFuncs: map[string]remotecache.ResolveCacheExporterFunc{
			"inline":   inlinecache.ResolveCacheExporterFunc(),
			"local":    localcache.ResolveCacheExporterFunc(b.sessions),
			"registry": registrycache.ResolveCacheExporterFunc(b.sessions, p.worker.RegistryHosts),
		},
		// A client must ask for it too. Insecure steps are never allowed.
		Entitlements:   []string{string(entitlements.EntitlementNetworkHost)},
		HistoryDB:      history, // without a configuration it keeps 50 builds, and all of two days
		LeaseManager:   p.worker.LeaseManager(),
		ContentStore:   p.worker.ContentStore(),
		GarbageCollect: p.worker.GarbageCollect,
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Close ends the builds and closes what was opened. No request may follow.
func (b *Builder) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.parts == nil {
		return nil
	}
	err := errors.Join(b.parts.control.Close(), b.EndSteps())
	b.parts = nil
	return err
}
