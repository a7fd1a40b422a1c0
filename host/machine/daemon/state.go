package daemon

import (
	"context"
	"sync"
	"sync/atomic"

	"naru/host/machine"
)

// tracker holds the machine's state and tells it to all who watch.
type tracker struct {
	// stopping ends when somebody asked for a stop, killNow when somebody asked for one without the guest's help.
	stopping, killNow context.Context
	stop, kill        context.CancelFunc
	killed            atomic.Bool

	mu      sync.Mutex // guards what follows
	event   machine.Event
	changed chan struct{} // closed at the next change, and replaced
}

func newTracker() *tracker {
	t := &tracker{event: machine.Event{State: machine.StateBooting, Step: "start"}, changed: make(chan struct{})}
	t.stopping, t.stop = context.WithCancel(context.Background())
	t.killNow, t.kill = context.WithCancel(context.Background())
	return t
}

// set changes the state. Failed and stopped are final; after stopping only they can come.
func (t *tracker) set(s machine.State, step string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.final() || t.event.State == machine.StateStopping && (s == machine.StateBooting || s == machine.StateRunning) {
		return
	}
	t.event = machine.Event{State: s, Step: step}
	if err != nil {
		t.event.Error = err.Error()
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *tracker) final() bool {
	return t.event.State == machine.StateFailed || t.event.State == machine.StateStopped
}

// now is the state, and a channel that is closed when there is another.
func (t *tracker) now() (machine.Event, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.event, t.changed
}

// askStop begins a stop. Idempotent.
func (t *tracker) askStop(kill bool) {
	if kill {
		t.killed.Store(true)
		t.kill()
	}
	t.stop()
}

// settled waits until the machine runs, or will not.
func (t *tracker) settled(ctx context.Context) (machine.Event, error) {
	for {
		ev, changed := t.now()
		if ev.State != machine.StateBooting && ev.State != machine.StateIdle {
			return ev, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ev, ctx.Err()
		}
	}
}
