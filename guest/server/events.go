package server

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"

	"naru/guest/engine/container"
	"naru/guest/engine/event"
)

// eventRoutes serves /events.
func eventRoutes(bus *event.Bus) []route {
	return []route{{"GET", "/events", func(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
		return serveEvents(bus, w, r)
	}}}
}

func serveEvents(bus *event.Bus, w http.ResponseWriter, r *http.Request) error {
	filters, err := filtersValue(r)
	if err != nil {
		return err
	}
	match, err := eventFilter(filters)
	if err != nil {
		return err
	}
	since, err := eventTime(r, "since")
	if err != nil {
		return err
	}
	until, err := eventTime(r, "until")
	if err != nil {
		return err
	}
	if !since.IsZero() && !until.IsZero() && until.Before(since) {
		return errdefs.ErrInvalidArgument.WithMessage("`since` time cannot be after `until` time")
	}
	past, sub := bus.Subscribe(since)
	defer sub.Close()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	out := eventWriter{json.NewEncoder(newFlusher(w)), match, until, lessVersion(requestVersion(r), "1.52")}
	for _, m := range past {
		if !out.write(m) {
			return nil
		}
	}
	out.follow(r, sub)
	return nil
}

// eventTime is the zero time where the parameter is absent. "0" is the epoch: all that is kept, or no waiting.
func eventTime(r *http.Request, name string) (time.Time, error) {
	text := r.URL.Query().Get(name)
	if text == "0" {
		return time.Unix(0, 0), nil
	}
	return container.ParseTime(text, time.Now())
}

// eventWriter sends the events that match, up to a time.
type eventWriter struct {
	enc   *json.Encoder
	match func(events.Message) bool
	until time.Time
	older bool // with the fields of before 1.52
}

// follow sends what happens until the time is over, the client has gone, or it reads too slowly.
func (o *eventWriter) follow(r *http.Request, sub *event.Subscription) {
	var over <-chan time.Time
	if !o.until.IsZero() {
		timer := time.NewTimer(time.Until(o.until))
		defer timer.Stop()
		over = timer.C
	}
	for {
		select {
		case m, ok := <-sub.C:
			if !ok || !o.write(m) {
				return
			}
		case <-over:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// write returns false when nothing more is to be sent.
func (o *eventWriter) write(m events.Message) bool {
	if !o.until.IsZero() && m.TimeNano > o.until.UnixNano() {
		return false
	}
	if !o.match(m) {
		return true
	}
	if !o.older {
		return o.enc.Encode(m) == nil
	}
	old := olderEvent{Message: m}
	if m.Type == events.ContainerEventType || m.Type == events.ImageEventType {
		old.Status, old.ID, old.From = string(m.Action), m.Actor.ID, m.Actor.Attributes["image"]
	}
	return o.enc.Encode(old) == nil
}

type olderEvent struct {
	Status string `json:"status,omitempty"`
	ID     string `json:"id,omitempty"`
	From   string `json:"from,omitempty"`
	events.Message
}

// objectTypes are the filters that name an object of a type.
var objectTypes = map[string]events.Type{
	"container": events.ContainerEventType, "image": events.ImageEventType, "network": events.NetworkEventType,
	"volume": events.VolumeEventType, "plugin": events.PluginEventType, "daemon": events.DaemonEventType,
	"service": events.ServiceEventType, "node": events.NodeEventType, "secret": events.SecretEventType, "config": events.ConfigEventType,
}

// eventFilter: values of one filter are alternatives (of label: all), and all filters must hold.
func eventFilter(filters map[string][]string) (func(events.Message) bool, error) {
	for name := range filters {
		_, object := objectTypes[name]
		if !object && !slices.Contains([]string{"type", "event", "label", "scope"}, name) {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter '" + name + "'")
		}
	}
	return func(m events.Message) bool {
		for name, values := range filters {
			if len(values) > 0 && !eventMatches(m, name, values) {
				return false
			}
		}
		return true
	}, nil
}

func eventMatches(m events.Message, name string, values []string) bool {
	switch name {
	case "type":
		return slices.Contains(values, string(m.Type))
	case "scope":
		return slices.Contains(values, m.Scope)
	case "event":
		// "exec_create" also means "exec_create: sh -c …".
		action, _, _ := strings.Cut(string(m.Action), ":")
		return slices.Contains(values, string(m.Action)) || slices.Contains(values, action)
	case "label":
		return !slices.ContainsFunc(values, func(v string) bool {
			key, value, withValue := strings.Cut(v, "=")
			got, there := m.Actor.Attributes[key]
			return !there || withValue && got != value
		})
	case "image":
		return slices.ContainsFunc(values, func(v string) bool { return aboutImage(m, v) })
	}
	return m.Type == objectTypes[name] && slices.ContainsFunc(values, func(v string) bool {
		return strings.HasPrefix(m.Actor.ID, v) || m.Actor.Attributes["name"] == strings.TrimPrefix(v, "/")
	})
}

// aboutImage matches an image, and a container that was made from it, with or without its tag.
func aboutImage(m events.Message, v string) bool {
	name := m.Actor.Attributes["image"]
	if m.Type == events.ImageEventType {
		name = m.Actor.Attributes["name"]
	}
	bare := name
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		bare = name[:i]
	}
	return name != "" && (v == name || v == bare) || m.Type == events.ImageEventType && m.Actor.ID == v
}
