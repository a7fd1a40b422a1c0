// Package event is the engine's event bus: what happened to containers, images, networks and volumes, in order,
// with a bounded memory of the newest for `since`.
package event

import (
	"slices"
	"sync"
	"time"

	"github.com/moby/moby/api/types/events"
)

// kept is how many past events a late subscriber can still see, as many as Docker.
const kept = 256

// queued is how far a subscriber may lag before it is dropped: a client that does not read must neither hold memory nor
// keep anybody waiting. Docker gives it 100 ms an event and then leaves the event out; a stream that ends tells of it.
const queued = 4096

// Bus spreads events. The zero value is ready. Safe for concurrent use.
type Bus struct {
	mu   sync.Mutex // guards all below
	past []events.Message
	subs map[*Subscription]struct{}
}

// Subscription is one listener's queue. C is closed when the listener lags too far or calls Close.
type Subscription struct {
	C     <-chan events.Message
	c     chan events.Message
	match func(events.Message) bool
	bus   *Bus
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
		copy(b.past, b.past[1:])
		b.past[kept-1] = m
	} else {
		b.past = append(b.past, m)
	}
	for s := range b.subs {
		if !s.match(m) {
			continue
		}
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

// Subscribe returns the kept events from since to until, and a subscription to all that follow, without a gap between
// the two; of both only what match wants. The zero time is no bound, but when both are zero no past event is returned.
// match is called with the bus held: it must be quick and must not call the bus.
func (b *Bus) Subscribe(since, until time.Time, match func(events.Message) bool) ([]events.Message, *Subscription) {
	c := make(chan events.Message, queued)
	s := &Subscription{C: c, c: c, match: match, bus: b}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subs == nil {
		b.subs = map[*Subscription]struct{}{}
	}
	b.subs[s] = struct{}{}
	return b.between(since, until, match), s
}

// between walks back from the newest, as time does not go back in it. mu is held.
func (b *Bus) between(since, until time.Time, match func(events.Message) bool) []events.Message {
	if since.IsZero() && until.IsZero() {
		return nil
	}
	var past []events.Message
	for _, m := range slices.Backward(b.past) {
		at := time.Unix(0, m.TimeNano)
		if !since.IsZero() && at.Before(since) {
			break
		}
		if (until.IsZero() || !at.After(until)) && match(m) {
			past = append(past, m)
		}
	}
	slices.Reverse(past)
	return past
}

// Listeners is how many subscriptions there are.
func (b *Bus) Listeners() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.subs)
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
