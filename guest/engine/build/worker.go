package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/resources"
	"github.com/moby/buildkit/executor/runcexecutor"
	"github.com/moby/buildkit/exporter"
	imageexporter "github.com/moby/buildkit/exporter/containerimage"
	"github.com/moby/buildkit/session"
	containerdsnapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver/pb"
	httpsource "github.com/moby/buildkit/source/http"
	"github.com/moby/buildkit/util/leaseutil"
	buildnetwork "github.com/moby/buildkit/util/network"
	"github.com/moby/buildkit/version"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/label"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"naru/guest/engine/image"
)

// buildWorker is BuildKit's worker with an exporter of our own for images.
type buildWorker struct {
	*base.Worker
	images Images
	writer *imageexporter.ImageWriter
}

// newWorker makes the worker on the image store's parts.
func (b *Builder) newWorker(ctx context.Context, own *contextServer) (*buildWorker, error) {
	opt, err := b.workerOptions()
	if err != nil {
		return nil, err
	}
	dropped, err := dropOrphans(ctx, opt.LeaseManager, opt.MetadataStore)
	if err != nil {
		return nil, err
	}
	if dropped > 0 {
		b.Log.Info("build: leases of an engine that was killed are dropped", "leases", dropped)
	}
	w, err := base.NewWorker(ctx, opt)
	if err != nil {
		return nil, fmt.Errorf("make worker: %w", err)
	}
	// The one that fetches URLs also fetches the contexts that clients send in the body of a request.
	urls, err := httpsource.NewSource(httpsource.Opt{CacheAccessor: w.CacheManager(), Transport: own})
	if err != nil {
		return nil, err
	}
	w.SourceManager.Register(urls)
	registerGit(w.SourceManager)
	writer, err := imageexporter.NewImageWriter(imageexporter.WriterOpt{
		Snapshotter: opt.Snapshotter, ContentStore: opt.ContentStore, Applier: opt.Applier, Differ: opt.Differ,
	})
	if err != nil {
		return nil, err
	}
	return &buildWorker{w, b.Images, writer}, nil
}

func (b *Builder) workerOptions() (opt base.WorkerOpt, err error) {
	store := b.Images.BuilderParts()
	networks := map[pb.NetMode]buildnetwork.Provider{
		pb.NetMode_UNSET: guarded{&bridge{b.Networks, b.Log}},
		pb.NetMode_HOST:  guarded{buildnetwork.NewHostProvider()},
		pb.NetMode_NONE:  guarded{buildnetwork.NewNoneProvider()},
	}
	monitor, err := resources.NewMonitor()
	if err != nil {
		return opt, err
	}
	run, err := b.newExecutor(networks, monitor)
	if err != nil {
		return opt, err
	}
	id, err := base.ID(b.root())
	if err != nil {
		return opt, err
	}
	records, err := metadata.NewStore(filepath.Join(b.root(), "metadata_v2.db"))
	if err != nil {
		return opt, err
	}
	content := containerdsnapshot.NewContentStore(store.Content, image.Namespace)
	return base.WorkerOpt{
		ID:               id,
		Root:             b.root(),
		Labels:           map[string]string{label.Executor: "oci", label.Snapshotter: store.SnapshotterName, label.Network: "bridge"},
		Platforms:        []ocispec.Platform{platforms.Normalize(platforms.DefaultSpec())},
		GCPolicy:         gcPolicy(b.root()),
		BuildkitVersion:  buildkitVersion(),
		NetworkProviders: networks,
		Executor:         run,
		Snapshotter:      containerdsnapshot.NewSnapshotter(store.SnapshotterName, shared{store.Snapshotter}, image.Namespace, nil),
		ContentStore:     content,
		Applier:          store.Applier,
		Differ:           walking.NewWalkingDiff(content),
		ImageStore:       store.Images,
		RegistryHosts:    store.Registries,
		LeaseManager:     leaseutil.WithNamespace(sharedLeases{store.Leases}, image.Namespace),
		GarbageCollect:   store.GarbageCollect,
		MetadataStore:    records,
		MountPoolRoot:    filepath.Join(b.run(), "mounts"),
		ResourceMonitor:  monitor,
	}, nil
}

// buildkitVersion is what `docker buildx ls` shows. BuildKit itself takes it from its package version.
func buildkitVersion() client.BuildkitVersion {
	v := client.BuildkitVersion{Package: version.Package}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == v.Package {
				v.Version, version.Version = m.Version, m.Version
			}
		}
	}
	return v
}

// newExecutor runs the steps with our crun. Its bundles and crun's state are on the run tmpfs.
func (b *Builder) newExecutor(networks map[pb.NetMode]buildnetwork.Provider, monitor *resources.Monitor) (executor.Executor, error) {
	run := b.run()
	if err := os.MkdirAll(filepath.Join(run, "mounts"), 0o700); err != nil {
		return nil, err
	}
	// crun takes the folder for its state from there; BuildKit has no option for it.
	if err := os.Setenv("XDG_RUNTIME_DIR", run); err != nil {
		return nil, err
	}
	steps, err := runcexecutor.New(runcexecutor.Opt{
		Root:                filepath.Join(run, "executor"),
		CommandCandidates:   []string{b.Crun},
		DefaultCgroupParent: b.Cgroup,
		ResourceMonitor:     monitor,
	}, networks)
	return plainWords{steps}, err
}

// Exporter returns an exporter. "moby" is what docker's clients call the engine's own image store.
func (w *buildWorker) Exporter(name string, sm *session.Manager) (exporter.Exporter, error) {
	if name != "moby" && name != client.ExporterImage {
		return w.Worker.Exporter(name, sm)
	}
	e, err := imageexporter.New(imageexporter.Opt{
		SessionManager: sm, ImageWriter: w.writer, RegistryHosts: w.RegistryHosts, LeaseManager: w.LeaseManager(),
	})
	if err != nil {
		return nil, err
	}
	return imageExporter{e, w.images}, nil
}
