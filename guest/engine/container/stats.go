package container

import (
	"context"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
)

// statsInterval is the time between two samples of a container that somebody watches.
const statsInterval = time.Second

// StatsOptions say how many samples are wanted: without Stream one, with the sample before it unless OneShot.
type StatsOptions struct{ Stream, OneShot bool }

// Stats gives a container's samples to send: the first one at once, further ones every second until ctx ends, send
// fails or the container is removed. One that does not run has an empty sample, as in Docker.
func (m *Manager) Stats(ctx context.Context, ref string, o StatsOptions, send func(*container.StatsResponse) error) error {
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	if !o.Stream && (o.OneShot || !c.statsRunning()) {
		return send(m.sample(c))
	}
	samples, leave := m.watchStats(c)
	defer leave()
	var before *container.StatsResponse
	if !o.Stream {
		if before = next(ctx, samples); before == nil {
			return nil
		}
	}
	for {
		s := next(ctx, samples)
		if s == nil {
			return nil
		}
		out := *s
		if before != nil {
			out.PreRead, out.PreCPUStats = before.Read, before.CPUStats
		}
		if err := send(&out); err != nil || !o.Stream {
			return err
		}
		before = s
	}
}

func next(ctx context.Context, samples <-chan *container.StatsResponse) *container.StatsResponse {
	select {
	case s := <-samples: // nil when it is closed
		return s
	case <-ctx.Done():
		return nil
	}
}

func (c *Container) statsRunning() bool {
	r := c.snapshot()
	return r.State.Pid != 0 // also of one that is paused
}

// statsWatch is the one collector of a container, whoever many listen to it.
type statsWatch struct {
	listeners map[chan *container.StatsResponse]bool
	stop      func()
}

// watchers are the collectors, one for each container that somebody watches. The zero value is ready.
type watchers struct {
	mu  sync.Mutex // guards all below
	all map[*Container]*statsWatch
}

// watchStats returns the samples of a container from now on. The channel holds one: who is slow misses some. It is
// closed when the container is removed. The caller calls leave.
func (m *Manager) watchStats(c *Container) (samples <-chan *container.StatsResponse, leave func()) {
	own := make(chan *container.StatsResponse, 1)
	w := &m.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[*Container]*statsWatch{}
	}
	watch := w.all[c]
	if watch == nil {
		ctx, stop := context.WithCancel(m.life)
		watch = &statsWatch{listeners: map[chan *container.StatsResponse]bool{}, stop: stop}
		w.all[c] = watch
		m.background.run(func() { m.collect(ctx, c, watch) })
	}
	watch.listeners[own] = true
	return own, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(watch.listeners, own)
		if len(watch.listeners) == 0 && w.all[c] == watch {
			watch.stop()
			delete(w.all, c)
		}
	}
}

// collect samples a container every second until ctx ends or the container is removed.
func (m *Manager) collect(ctx context.Context, c *Container, watch *statsWatch) {
	defer m.watchers.end(c, watch)
	ticker := time.NewTicker(statsInterval)
	defer ticker.Stop()
	for {
		c.mu.Lock()
		gone := c.gone
		c.mu.Unlock()
		if gone || ctx.Err() != nil {
			return
		}
		m.watchers.publish(watch, m.sample(c))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (w *watchers) publish(watch *statsWatch, s *container.StatsResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range watch.listeners {
		select {
		case l <- s:
		default:
		}
	}
}

// end tells all listeners that nothing more comes.
func (w *watchers) end(c *Container, watch *statsWatch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	watch.stop()
	for l := range watch.listeners {
		close(l)
		delete(watch.listeners, l)
	}
	if w.all[c] == watch {
		delete(w.all, c)
	}
}
