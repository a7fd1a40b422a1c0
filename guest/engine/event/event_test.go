package event

import (
	"fmt"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"
)

func all(events.Message) bool { return true }

// emit publishes events that are a second apart, the first at second 1.
func emit(b *Bus, n int) {
	for i := range n {
		at := time.Unix(int64(i+1), 0)
		b.Publish(events.Message{Type: "container", Actor: events.Actor{ID: fmt.Sprint(i + 1)}, Time: at.Unix(), TimeNano: at.UnixNano()})
	}
}

func ids(list []events.Message) (out string) {
	for _, m := range list {
		out += m.Actor.ID + " "
	}
	return out
}

func TestBetween(t *testing.T) {
	var b Bus
	emit(&b, 5)
	for _, c := range []struct {
		since, until int64 // 0: no bound
		want         string
	}{{0, 0, ""}, {2, 0, "2 3 4 5 "}, {0, 2, "1 2 "}, {2, 4, "2 3 4 "}, {9, 0, ""}, {-1, 1, "1 "}} {
		var since, until time.Time
		if c.since != 0 {
			since = time.Unix(c.since, 0)
		}
		if c.until != 0 {
			until = time.Unix(c.until, 0)
		}
		past, sub := b.Subscribe(since, until, all)
		sub.Close()
		if got := ids(past); got != c.want {
			t.Errorf("since %d until %d: %q, want %q", c.since, c.until, got, c.want)
		}
	}
}

func TestKept(t *testing.T) {
	var b Bus
	emit(&b, kept+3)
	past, sub := b.Subscribe(time.Unix(1, 0), time.Time{}, all)
	defer sub.Close()
	if len(past) != kept || past[0].Actor.ID != "4" || past[kept-1].Actor.ID != fmt.Sprint(kept+3) {
		t.Errorf("%d events are kept, from %s", len(past), past[0].Actor.ID)
	}
}

// TestSlowReader: one who does not read is dropped, with what was queued; the others and the publisher do not notice.
// What a listener's filter leaves out does not count.
func TestSlowReader(t *testing.T) {
	var b Bus
	_, slow := b.Subscribe(time.Time{}, time.Time{}, all)
	_, picky := b.Subscribe(time.Time{}, time.Time{}, func(m events.Message) bool { return m.Actor.ID == "1" })
	defer picky.Close()
	emit(&b, queued+10)
	if n := b.Listeners(); n != 1 {
		t.Errorf("%d listeners are left, want the picky one", n)
	}
	got := 0
	for range slow.C {
		got++
	}
	if got != queued || len(picky.C) != 1 {
		t.Errorf("the slow reader got %d, the picky one %d", got, len(picky.C))
	}
	slow.Close() // again
}
