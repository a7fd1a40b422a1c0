package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/log"
	"github.com/moby/moby/api/types/events"
	"go.etcd.io/bbolt"
	"golang.org/x/sync/semaphore"

	"naru/guest/engine/event"
)

// Namespace is the containerd namespace of everything in the store.
const Namespace = "naru"

// snapshotterName is what the database calls the one snapshotter.
const snapshotterName = "overlayfs"

// cleanupTime bounds what is done after an operation's context has ended.
const cleanupTime = 10 * time.Second

// operationLabel marks the leases of operations of ours, which end with the process. The builder keeps its cache by others.
const operationLabel = "naru/operation"

// leaseTime is how long the collector spares what an operation made when the operation never ends.
const leaseTime = 24 * time.Hour

// Options opens a Store.
type Options struct {
	Root string // folder that holds content/, snapshots/ and meta.db
	// HelloPath is the program that the image `hello` is made from; "" is naru-hello beside the running executable.
	HelloPath string
	Events    *event.Bus   // nil for none
	Log       *slog.Logger // nil for none
	// InUse tells which containers were made from an image. It is called without any lock of the Store's held, also
	// from the collector's goroutine. nil: none.
	InUse func(imageID string) []Use
	// DialLoopback connects to a loopback "host:port" of the machine the user sits at. nil: that is this machine.
	DialLoopback func(ctx context.Context, addr string) (net.Conn, error)
	// Registries has passed Check.
	Registries Registries
}

// Store holds the images of one engine. Safe for concurrent use.
type Store struct {
	o         Options
	log       *slog.Logger
	bolt      *bbolt.DB
	db        *metadata.DB
	content   content.Store
	snaps     snapshots.Snapshotter // namespaced by db
	overlay   snapshots.Snapshotter // below snaps; closed with the store
	images    images.Store
	leases    leases.Manager
	index     index
	names     sync.Mutex // held while the records of names are changed
	keys      keyLocks   // one unpack of a chain, one fetch of a blob at a time
	fetches   *semaphore.Weighted
	unpacks   *semaphore.Weighted
	chunks    chunking
	hello     sync.Mutex // held while the hello image is made
	collector collector
	schemes   sync.Map // host[:port] of a registry that may be insecure: "http" or "https", as it was last found
	patience  patience
}

// Open opens the store in o.Root, making it when it is new, and drops what an interrupted operation left behind.
// It waits at most 5 s for another process that has the store open.
func Open(ctx context.Context, o Options) (_ *Store, err error) {
	if err := log.SetLevel("fatal"); err != nil { // containerd's chatter; what matters is in the errors
		return nil, err
	}
	s := &Store{o: o, log: o.Log, patience: defaultPatience, fetches: semaphore.NewWeighted(fetchesAtOnce), unpacks: semaphore.NewWeighted(unpacksAtOnce()), chunks: defaultChunking()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.o.HelloPath == "" {
		if exe, err := os.Executable(); err == nil {
			s.o.HelloPath = filepath.Join(filepath.Dir(exe), "naru-hello")
		}
	}
	defer func() {
		if err != nil {
			s.closeStores()
			err = fmt.Errorf("open image store: %w", err)
		}
	}()
	if err := s.openStores(ctx); err != nil {
		return nil, err
	}
	ctx = s.context(ctx)
	stale, err := s.dropStaleLeases(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.loadIndex(ctx); err != nil {
		return nil, err
	}
	s.sweepIngests(0)
	s.keepReserve()
	s.collector.full.Store(true)
	s.collector.start(s)
	if stale {
		s.collector.trigger()
	}
	return s, nil
}

func (s *Store) openStores(ctx context.Context) error {
	if err := os.MkdirAll(s.o.Root, 0o700); err != nil {
		return err
	}
	cs, err := local.NewStore(filepath.Join(s.o.Root, "content"))
	if err != nil {
		return err
	}
	o, err := newOverlay(filepath.Join(s.o.Root, "snapshots"))
	if err != nil {
		return err
	}
	s.overlay = o
	s.bolt, err = bbolt.Open(filepath.Join(s.o.Root, "meta.db"), 0o600, &bbolt.Options{
		Timeout:        5 * time.Second,
		NoFreelistSync: true, // one page less to sync in each transaction; rebuilt when opened
		NoStatistics:   true,
	})
	if err != nil {
		return fmt.Errorf("open meta.db: %w", err)
	}
	s.db = metadata.NewDB(s.bolt, cs, map[string]snapshots.Snapshotter{snapshotterName: s.overlay})
	if err := s.db.Init(ctx); err != nil {
		return fmt.Errorf("init meta.db: %w", err)
	}
	s.content = s.db.ContentStore()
	s.snaps = s.db.Snapshotter(snapshotterName)
	s.images = metadata.NewImageStore(s.db)
	s.leases = metadata.NewLeaseManager(s.db)
	return nil
}

// dropStaleLeases removes the leases of operations that a previous process did not end, and tells whether there
// were any: then the collector has work.
func (s *Store) dropStaleLeases(ctx context.Context) (bool, error) {
	list, err := s.leases.List(ctx)
	if err != nil {
		return false, fmt.Errorf("list leases: %w", err)
	}
	list = slices.DeleteFunc(list, func(l leases.Lease) bool { return l.Labels[operationLabel] == "" })
	for _, l := range list {
		if err := s.leases.Delete(ctx, l); err != nil {
			return false, fmt.Errorf("drop lease: %w", err)
		}
	}
	return len(list) > 0, nil
}

// Close waits for the garbage collector and closes the databases. No operation may be under way.
func (s *Store) Close() error {
	s.collector.stop()
	return s.closeStores()
}

func (s *Store) closeStores() error {
	var errs []error
	if s.bolt != nil {
		errs = append(errs, s.bolt.Close())
	}
	if s.overlay != nil {
		errs = append(errs, s.overlay.Close())
	}
	return errors.Join(errs...)
}

func (s *Store) context(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, Namespace)
}

// leased returns a context under which all content and snapshots made are kept from the collector until done is
// called. The records made meanwhile keep them from then on; the rest is collected.
func (s *Store) leased(ctx context.Context) (_ context.Context, done func(), err error) {
	ctx = s.context(ctx)
	l, err := s.leases.Create(ctx, leases.WithRandomID(), leases.WithExpiration(leaseTime), leases.WithLabel(operationLabel, "image"))
	if err != nil {
		return nil, nil, fmt.Errorf("create lease: %w", err)
	}
	return leases.WithLease(ctx, l.ID), func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
		full := freeBytes(s.o.Root) < 2*reserveSize // with or without the reserve
		if full {
			s.useReserve()
		}
		if err := s.leases.Delete(ctx, l); err != nil {
			s.log.Warn("drop lease", "error", err)
		}
		if full { // the room is there when the caller says that there was none, and the next one cannot take the reserve
			if err := s.Collect(ctx); err == nil {
				return
			}
		}
		s.collector.trigger()
	}, nil
}

// emit tells of an image, by its ID or the name it was pulled by: with its labels, as long as it is there.
func (s *Store) emit(action events.Action, ref string, attributes map[string]string) {
	if s.o.Events == nil {
		return
	}
	all := map[string]string{}
	if e, _, err := s.find(ref); ref != "" && err == nil {
		maps.Copy(all, e.img.Config.Labels)
	}
	maps.Copy(all, attributes)
	s.o.Events.Emit(events.ImageEventType, action, ref, all)
}

func (s *Store) inUse(imageID string) []Use {
	if s.o.InUse == nil {
		return nil
	}
	return s.o.InUse(imageID)
}
