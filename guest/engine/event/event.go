// Package event is the engine's event bus: what happened to containers, images, networks and volumes, in order,
// with a bounded memory of the newest for `since`.
package event

import (
	"sync"
	"time"

	"github.com/moby/moby/api/types/events"
)

// kept is how many past events a late subscriber can still see; Docker keeps 256.
const kept = 1024

// queued is how far a subscriber may lag before it is dropped: a client that does not read must not hold memory.
const queued = 4096

// Bus spreads events. The zero value is ready. Safe for concurrent use.
type Bus struct {
	mu   sync.Mutex // guards all below
	past []events.Message
	subs map[*Subscription]struct{}
}

// Subscription is one listener's queue. C is closed when the listener lags too far or calls Close.
type Subscription struct {
	C   <-chan events.Message
	c   chan events.Message
	bus *Bus
}

// Publish tells all subscribers. The time is set here when m has none.
func (b *Bus) Publish(m events.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.TimeNano == 0 {
		now := time.Now()
		m.Time, m.TimeNano = now.Unix(), now.UnixNano()
	}
	m.Scope = "local"
	if len(b.past) == kept {
		b.past = append(b.past[:0:0], b.past[kept/2:]...)
	}
	b.past = append(b.past, m)
	for s := range b.subs {
		select {
		case s.c <- m:
		default: // too slow
			delete(b.subs, s)
			close(s.c)
		}
	}
}

// Emit publishes an event of the given type and action about the object id.
func (b *Bus) Emit(typ events.Type, action events.Action, id string, attributes map[string]string) {
	b.Publish(events.Message{Type: typ, Action: action, Actor: events.Actor{ID: id, Attributes: attributes}})
}

// Subscribe returns the events after since that are still kept (none for the zero time), and a subscription to all
// that follow, without a gap between the two.
func (b *Bus) Subscribe(since time.Time) ([]events.Message, *Subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var past []events.Message
	if !since.IsZero() {
		for _, m := range b.past {
			if m.TimeNano >= since.UnixNano() {
				past = append(past, m)
			}
		}
	}
	c := make(chan events.Message, queued)
	s := &Subscription{C: c, c: c, bus: b}
	if b.subs == nil {
		b.subs = map[*Subscription]struct{}{}
	}
	b.subs[s] = struct{}{}
	return past, s
}

// Close ends the subscription. Idempotent.
func (s *Subscription) Close() {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	if _, ok := s.bus.subs[s]; ok {
		delete(s.bus.subs, s)
		close(s.c)
	}
}
