package image

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"naru/guest/engine/layer"
)

// staging is the snapshotter and the applier of one pull or load. Layers are unpacked side by side, each into a folder of its
// own that knows nothing of those below:
//
//	Prepare ─▶ Apply (a confined child) ─▶ all done ─▶ finish, bottom first ─▶ one sync ─▶ Commit, bottom first
//
// A snapshot counts as complete from its commit on, so its files must be on the disk before: the first commit waits until
// nothing is being unpacked any more and then syncs, once for all. What needs the layers below (see layer.Rest) is done
// just before.
type staging struct {
	snapshots.Snapshotter
	applier
	chain []string // the chain IDs of the image's layers, bottom layer first

	mu     sync.Mutex // guards the rest
	staged map[string]*stagedLayer
	finish sync.Once
	err    error // of finish
}

// stagedLayer is a layer from its preparation on.
type stagedLayer struct {
	chainID, diffID, key, dir string
	rest                      layer.Rest
	usage                     snapshots.Usage // set by finishAll
	ok                        bool            // unpacked and right; valid once done is closed
	done                      chan struct{}   // closed when it is unpacked or given up
	end                       sync.Once       // closes done
}

func (l *stagedLayer) settle(ok bool) {
	l.end.Do(func() { l.ok = ok; close(l.done) })
}

func (s *Store) newStaging(t tree, p *layerProgress) *staging {
	st := &staging{Snapshotter: s.snaps, applier: applier{s, p}, staged: map[string]*stagedLayer{}}
	for _, id := range identity.ChainIDs(append(t.config.RootFS.DiffIDs[:0:0], t.config.RootFS.DiffIDs...)) {
		st.chain = append(st.chain, id.String())
	}
	return st
}

// Prepare is called for the layers in their order, and for none once a commit has begun.
func (st *staging) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	var info snapshots.Info
	for _, o := range opts {
		if err := o(&info); err != nil {
			return nil, err
		}
	}
	mounts, err := st.Snapshotter.Prepare(ctx, key, parent, opts...)
	if err != nil {
		return nil, err
	}
	dir, _, err := layerFolders(mounts)
	if err != nil {
		return nil, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.staged[key] = &stagedLayer{
		chainID: info.Labels[snapshots.LabelSnapshotRef], diffID: info.Labels[snapshots.LabelSnapshotDiffID],
		key: key, dir: dir, done: make(chan struct{}),
	}
	return mounts, nil
}

// Apply is the applier's, without what needs the layers below.
func (st *staging) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, opts ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	dir, _, err := layerFolders(mounts)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	l := st.at(func(l *stagedLayer) bool { return l.dir == dir })
	if l == nil {
		return ocispec.Descriptor{}, fmt.Errorf("unpack layer: the snapshot in %s was not prepared", dir)
	}
	ok := false
	defer func() { l.settle(ok) }()
	got, rest, _, err := st.unpack(ctx, desc, dir, opts)
	l.rest, ok = rest, err == nil && got.Digest.String() == l.diffID // the unpacker compares it, too, and then removes the snapshot
	return got, err
}

func (st *staging) at(is func(*stagedLayer) bool) *stagedLayer {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, l := range st.staged {
		if is(l) {
			return l
		}
	}
	return nil
}

// Remove gives a layer up.
func (st *staging) Remove(ctx context.Context, key string) error {
	if l := st.at(func(l *stagedLayer) bool { return l.key == key }); l != nil {
		l.settle(false)
	}
	st.mu.Lock()
	delete(st.staged, key)
	st.mu.Unlock()
	return st.Snapshotter.Remove(ctx, key)
}

// Commit is called for the layers in their order.
func (st *staging) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	st.finish.Do(func() { st.err = st.finishAll(ctx) })
	if st.err != nil {
		return st.err
	}
	if l := st.at(func(l *stagedLayer) bool { return l.key == key }); l != nil {
		ctx = withUsage(ctx, l.usage)
	}
	return st.Snapshotter.Commit(ctx, name, key, opts...)
}

// finishAll waits for the layers that are being unpacked, and makes those that can be committed whole: up to the first that
// failed.
func (st *staging) finishAll(ctx context.Context) error {
	layers := map[string]*stagedLayer{}
	st.mu.Lock()
	for _, l := range st.staged {
		layers[l.chainID] = l
	}
	st.mu.Unlock()
	for _, l := range layers {
		select {
		case <-l.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	var below []string
	var whole []*stagedLayer
	for _, id := range st.chain {
		l := layers[id]
		if l == nil { // it was there already
			info, err := st.Snapshotter.Stat(ctx, id)
			if errdefs.IsNotFound(err) {
				break
			}
			if err != nil {
				return err
			}
			below = append([]string{info.Labels[upperdirLabel]}, below...)
			continue
		}
		if !l.ok {
			break
		}
		if err := l.rest.Finish(l.dir, below); err != nil {
			return err
		}
		below, whole = append([]string{l.dir}, below...), append(whole, l)
	}
	if len(whole) == 0 {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return layer.Sync(whole[0].dir) })
	g.Go(func() (err error) { // meanwhile
		for _, l := range whole {
			if l.usage, err = usageOf(ctx, l.dir); err != nil {
				return fmt.Errorf("size of layer: %w", err)
			}
		}
		return nil
	})
	return g.Wait()
}
