package server

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"

	"naru/guest/engine/event"
)

// eventRoutes serves /events.
func eventRoutes(bus *event.Bus) []route {
	return []route{{"GET", "/events", func(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
		return serveEvents(bus, w, r)
	}}}
}

func serveEvents(bus *event.Bus, w http.ResponseWriter, r *http.Request) error {
	since, err := unixTime(r, "since")
	if err != nil {
		return err
	}
	until, err := unixTime(r, "until")
	if err != nil {
		return err
	}
	if !until.IsZero() && until.Before(since) {
		q := r.URL.Query()
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"`since` time (%s) cannot be after `until` time (%s)", q.Get("since"), q.Get("until")))
	}
	filters, err := filtersValue(r)
	if err != nil {
		return err
	}
	past, sub := bus.Subscribe(since, until, eventFilter(filters, requestVersion(r)))
	defer sub.Close()
	mediaType := jsonStreamType(r)
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush() // the first write tells when the client has gone
	out := eventWriter{jsonStreamEncoder(newFlusher(w), mediaType), lessVersion(requestVersion(r), "1.52")}
	for _, m := range past {
		if out.write(m) != nil {
			return nil
		}
	}
	if until.IsZero() || until.After(time.Now()) {
		out.follow(r, sub, until)
	}
	return nil
}

// unixTime reads "seconds" or "seconds.fraction" since the epoch; the zero time where it is absent. Clients turn all
// other forms into this one.
func unixTime(r *http.Request, name string) (time.Time, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	bad := func(why string) error {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid value for '%s': invalid timestamp %q: %s", name, text, why))
	}
	whole, fraction, _ := strings.Cut(text, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, bad(fmt.Sprintf("invalid seconds %q: %v", whole, err.(*strconv.NumError).Err))
	}
	if len(fraction) > maxFraction {
		return time.Time{}, bad(fmt.Sprintf("invalid nanoseconds: length %d exceeds maximum %d", len(fraction), maxFraction))
	}
	if i := strings.IndexFunc(fraction, func(c rune) bool { return c < '0' || c > '9' }); i >= 0 {
		return time.Time{}, bad(fmt.Sprintf("invalid nanoseconds: invalid character %q at position %d", fraction[i], i))
	}
	nsec, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64) // nine digits
	return time.Unix(sec, nsec), nil
}

// maxFraction bounds the digits after the point; those after the ninth do not count.
const maxFraction = 20

// eventWriter sends events in the form of one version of the API.
type eventWriter struct {
	encode func(any) error
	older  bool // with the fields of before 1.52
}

// follow sends what happens until the time is over, the client has gone, or it reads too slowly.
func (o eventWriter) follow(r *http.Request, sub *event.Subscription, until time.Time) {
	var over <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		over = timer.C
	}
	for {
		select {
		case m, ok := <-sub.C:
			if !ok || o.write(m) != nil {
				return
			}
		case <-over:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (o eventWriter) write(m events.Message) error {
	if !o.older || m.Type != events.ContainerEventType && m.Type != events.ImageEventType {
		return o.encode(m)
	}
	old := olderEvent{Message: m, Status: string(m.Action), ID: m.Actor.ID}
	if m.Type == events.ContainerEventType {
		from := m.Actor.Attributes["image"]
		old.From = &from
	}
	return o.encode(old)
}

// olderEvent is an event of a container or an image with the fields that clients read before 1.52. The docker CLI up
// to 24 crashes where they are missing.
type olderEvent struct {
	Status string  `json:"status"`
	ID     string  `json:"id"`
	From   *string `json:"from,omitempty"` // of containers: the image
	events.Message
}
