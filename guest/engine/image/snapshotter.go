package image

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/continuity/fs"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// overlaySnapshotter is containerd's, but that it removes folders with several hands, and that a commit need not look at every
// file of a layer while it holds the database.
type overlaySnapshotter struct {
	snapshots.Snapshotter
	meta *storage.MetaStore
	dir  string // that holds the snapshots' folders
}

func newOverlay(root string) (*overlaySnapshotter, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	meta, err := storage.NewMetaStore(filepath.Join(root, "metadata.db"))
	if err != nil {
		return nil, err
	}
	// The label carries the path of a layer's files, so that Layers needs no mount and no write.
	sn, err := overlay.NewSnapshotter(root, overlay.AsynchronousRemove, overlay.WithUpperdirLabel, overlay.WithMetaStore(meta))
	if err != nil {
		return nil, errors.Join(err, meta.Close())
	}
	o := &overlaySnapshotter{Snapshotter: sn, meta: meta, dir: filepath.Join(root, "snapshots")}
	if err := o.setAside(context.Background()); err != nil {
		return nil, errors.Join(err, sn.Close())
	}
	return o, nil
}

// setAside renames the folders of snapshots that the database does not know. An engine that is killed between making a folder and
// committing its number leaves the number free: the next snapshot would get it, and fail because the folder is there, and so would
// all after it. Cleanup removes them later.
func (o *overlaySnapshotter) setAside(ctx context.Context) error {
	gone, err := o.unknown(ctx)
	if err != nil {
		return fmt.Errorf("look for lost snapshots: %w", err)
	}
	for _, name := range gone {
		if _, err := strconv.ParseUint(name, 10, 64); err != nil { // set aside before, or never finished
			continue
		}
		if err := os.Rename(filepath.Join(o.dir, name), filepath.Join(o.dir, "lost-"+name+"-"+rand.Text())); err != nil {
			return fmt.Errorf("set a lost snapshot aside: %w", err)
		}
	}
	return nil
}

// unknown are the folders that belong to no snapshot.
func (o *overlaySnapshotter) unknown(ctx context.Context) (gone []string, err error) {
	err = o.meta.WithTransaction(ctx, true, func(ctx context.Context) error { // so that none is in the making
		ids, err := storage.IDMap(ctx)
		if err != nil && !errdefs.IsNotFound(err) { // a database in which there was no snapshot yet has no table of them
			return err
		}
		entries, err := os.ReadDir(o.dir)
		for _, e := range entries {
			if _, ok := ids[e.Name()]; !ok {
				gone = append(gone, e.Name())
			}
		}
		return err
	})
	return gone, err
}

// Cleanup removes the folders of snapshots that are gone. What cannot be removed is left to containerd's own.
func (o *overlaySnapshotter) Cleanup(ctx context.Context) error {
	gone, err := o.unknown(ctx)
	if err != nil {
		return err
	}
	for _, name := range gone {
		removeTree(filepath.Join(o.dir, name))
	}
	return o.Snapshotter.(snapshots.Cleaner).Cleanup(ctx)
}

type usageKey struct{}

// withUsage carries the size of the snapshot that is committed next.
func withUsage(ctx context.Context, u snapshots.Usage) context.Context {
	return context.WithValue(ctx, usageKey{}, u)
}

// usageOf is what the files of a folder take on the disk.
func usageOf(ctx context.Context, dir string) (snapshots.Usage, error) {
	u, err := fs.DiskUsage(ctx, dir)
	return snapshots.Usage(u), err
}

// Commit is containerd's with a size that was found before.
func (o *overlaySnapshotter) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	usage, ok := ctx.Value(usageKey{}).(snapshots.Usage)
	if !ok {
		return o.Snapshotter.Commit(ctx, name, key, opts...)
	}
	return o.meta.WithTransaction(ctx, true, func(ctx context.Context) error {
		if _, err := storage.CommitActive(ctx, key, name, usage, opts...); err != nil {
			return fmt.Errorf("commit snapshot %s: %w", key, err)
		}
		return nil
	})
}

// removers is how many folders of one tree are emptied at once.
const removers = 4

// removeTree removes a folder and what is in it, as far as that can be done. Links are not followed.
func removeTree(path string) {
	g := &errgroup.Group{}
	g.SetLimit(removers)
	removeFolder(g, unix.AT_FDCWD, path)
	_ = g.Wait()
}

// removeFolder empties a folder and removes it. Folders in it are emptied by others who are free.
func removeFolder(g *errgroup.Group, at int, name string) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	var inside sync.WaitGroup
	for {
		entries, err := dir.ReadDir(1000)
		for _, e := range entries {
			if !e.IsDir() {
				_ = unix.Unlinkat(fd, e.Name(), 0)
				continue
			}
			inside.Add(1)
			empty := func() error {
				defer inside.Done()
				removeFolder(g, fd, e.Name())
				return nil
			}
			if !g.TryGo(empty) {
				_ = empty()
			}
		}
		if err != nil {
			break
		}
	}
	inside.Wait()
	_ = unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
}
