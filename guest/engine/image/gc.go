package image

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
)

// gcDelay is how long the collector waits for more work to come before it runs, so that removing ten images is one
// collection.
const gcDelay = 100 * time.Millisecond

// gcRetry is how long the collector waits after a failure: on a full disk another operation may have taken the room
// that it had made for itself.
const gcRetry = 10 * time.Second

// collector runs the garbage collection in a goroutine of its own, some time after it was triggered.
type collector struct {
	wake   chan struct{}
	cancel context.CancelFunc
	done   chan struct{}
	run    sync.Mutex  // held while one collection runs
	full   atomic.Bool // the next collection looks at everything
}

func (c *collector) start(s *Store) {
	ctx, cancel := context.WithCancel(s.context(context.Background()))
	c.wake, c.cancel, c.done = make(chan struct{}, 1), cancel, make(chan struct{})
	go func() {
		defer close(c.done)
		var again <-chan time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case <-c.wake:
			case <-again:
			}
			again = nil
			select {
			case <-ctx.Done():
				return
			case <-time.After(gcDelay):
			}
			if err := s.Collect(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("collect garbage", "error", err)
				again = time.After(gcRetry)
			}
		}
	}()
}

// trigger asks for a collection soon. It never blocks.
func (c *collector) trigger() {
	select {
	case c.wake <- struct{}{}:
	default: // one is asked for already
	}
}

func (c *collector) stop() {
	if c.cancel != nil {
		c.cancel()
		<-c.done
	}
}

// Collect removes, now, all content and snapshots that no image and no running operation needs. When it returns
// their space is free.
func (s *Store) Collect(ctx context.Context) error {
	s.collector.run.Lock()
	defer s.collector.run.Unlock()
	ctx = s.context(ctx)
	s.useReserve()
	defer s.keepReserve()
	if err := s.dropHeld(ctx); err != nil {
		return err
	}
	full := s.collector.full.Swap(false)
	if full {
		s.sweepIngests(time.Minute)
		if err := s.markAll(ctx); err != nil && !errdefs.IsAlreadyExists(err) {
			s.collector.full.Store(true)
			return err
		}
	}
	if _, err := s.db.GarbageCollect(ctx); err != nil {
		s.collector.full.CompareAndSwap(false, full)
		return fmt.Errorf("collect garbage: %w", err)
	}
	return nil
}

// Released tells the store that a container of the image is gone, so that an image which was deleted by force while
// it was in use can go too. Cheap and never blocking.
func (s *Store) Released(imageID string) {
	if s.index.isHeld(imageID) {
		s.collector.trigger()
	}
}

// dropHeld removes the records of deleted images that no container needs any more.
func (s *Store) dropHeld(ctx context.Context) error {
	var remove []string
	for _, r := range s.index.list() {
		if strings.HasPrefix(r.name, heldPrefix) && len(s.inUse(r.id())) == 0 {
			remove = append(remove, r.name)
		}
	}
	if len(remove) == 0 {
		return nil
	}
	s.names.Lock()
	defer s.names.Unlock()
	return s.commit(ctx, nil, remove)
}
