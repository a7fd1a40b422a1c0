package build

import (
	"context"
	"strings"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/moby/buildkit/snapshot"
)

// BuildKit gives the snapshot of an image's layer a name of its own kind. Under that name it would unpack again what the
// image store has unpacked. shared and sharedLeases call both by the chain ID, as the image store does.

func chainName(key string) string {
	if id, ok := snapshot.ParseLayerSnapshotID(key); ok {
		return id.String()
	}
	return key
}

// shared is the image store's snapshotter under BuildKit's names.
type shared struct{ snapshots.Snapshotter }

func (s shared) Stat(ctx context.Context, key string) (snapshots.Info, error) {
	return s.Snapshotter.Stat(ctx, chainName(key))
}

func (s shared) Update(ctx context.Context, info snapshots.Info, fields ...string) (snapshots.Info, error) {
	info.Name = chainName(info.Name)
	return s.Snapshotter.Update(ctx, info, fields...)
}

func (s shared) Usage(ctx context.Context, key string) (snapshots.Usage, error) {
	return s.Snapshotter.Usage(ctx, chainName(key))
}

func (s shared) Mounts(ctx context.Context, key string) ([]mount.Mount, error) {
	return s.Snapshotter.Mounts(ctx, chainName(key))
}

func (s shared) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return s.Snapshotter.Prepare(ctx, chainName(key), chainName(parent), opts...)
}

func (s shared) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return s.Snapshotter.View(ctx, chainName(key), chainName(parent), opts...)
}

func (s shared) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	return s.Snapshotter.Commit(ctx, chainName(name), chainName(key), opts...)
}

// sharedLeases is the image store's lease manager under BuildKit's names.
type sharedLeases struct{ leases.Manager }

func chainResource(r leases.Resource) leases.Resource {
	if strings.HasPrefix(r.Type, "snapshots/") {
		r.ID = chainName(r.ID)
	}
	return r
}

func (l sharedLeases) AddResource(ctx context.Context, lease leases.Lease, r leases.Resource) error {
	return l.Manager.AddResource(ctx, lease, chainResource(r))
}

func (l sharedLeases) DeleteResource(ctx context.Context, lease leases.Lease, r leases.Resource) error {
	return l.Manager.DeleteResource(ctx, lease, chainResource(r))
}
