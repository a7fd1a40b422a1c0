package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"

	"naru/guest/engine/event"
)

// eventServer serves /events of a bus with one event of each kind that filters tell apart, at the seconds 1, 2, …
func eventServer(t *testing.T) (*httptest.Server, *event.Bus) {
	t.Helper()
	bus := &event.Bus{}
	for i, m := range []events.Message{
		{Type: "container", Action: "create", Actor: events.Actor{ID: "aaa1", Attributes: map[string]string{"name": "web", "image": "repo/app:1", "tier": "front"}}},
		{Type: "container", Action: "exec_start: sh -c x", Actor: events.Actor{ID: "aaa2", Attributes: map[string]string{"name": "db", "image": "pg", "tier": "back"}}},
		{Type: "image", Action: "create", Actor: events.Actor{ID: "sha256:i", Attributes: map[string]string{"name": "sha256:i"}}},
		{Type: "image", Action: "pull", Actor: events.Actor{ID: "repo/app:1", Attributes: map[string]string{"name": "repo/app"}}},
		{Type: "volume", Action: "mount", Actor: events.Actor{ID: "data", Attributes: map[string]string{"driver": "local", "container": "aaa1"}}},
		{Type: "network", Action: "connect", Actor: events.Actor{ID: "net1", Attributes: map[string]string{"name": "bridge", "container": "aaa1"}}},
	} {
		at := time.Unix(int64(i+1), 500e6)
		m.Time, m.TimeNano = at.Unix(), at.UnixNano()
		bus.Publish(m)
	}
	srv := httptest.NewServer(newRouter(slog.New(slog.DiscardHandler), eventRoutes(bus)))
	t.Cleanup(srv.Close)
	return srv, bus
}

func getEvents(t *testing.T, srv *httptest.Server, version, query string, accept ...string) (resp *http.Response, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+version+"/events?"+query, nil)
	must(t, err)
	req.Header["Accept"] = accept
	resp, err = srv.Client().Do(req)
	must(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp, string(data)
}

func TestEventFilters(t *testing.T) {
	srv, _ := eventServer(t)
	for filters, want := range map[string]string{
		``:                                                  "1 2 3 4 5 6",
		`{"type":["container"]}`:                            "1 2",
		`{"type":["image","volume"]}`:                       "3 4 5",
		`{"event":{"create":true}}`:                         "1 3",
		`{"event":["exec_start"]}`:                          "2",
		`{"event":["exec_"]}`:                               "",
		`{"event":["exec_start","m"]}`:                      "2 5", // one of the long ones makes all of them prefixes, as in Docker
		`{"event":["exec_start: sh -c x"]}`:                 "2",
		`{"container":["aaa"]}`:                             "1 2",
		`{"container":["web"]}`:                             "1",
		`{"volume":["da"]}`:                                 "5",
		`{"network":["bridge"]}`:                            "6",
		`{"image":["repo/app"]}`:                            "1 4",
		`{"image":["repo/app:1"]}`:                          "1 4",
		`{"image":["pg"]}`:                                  "2",
		`{"label":["tier"]}`:                                "1 2",
		`{"label":["tier=front"]}`:                          "1",
		`{"label":["tier=front","name=db"]}`:                "",
		`{"scope":["local"],"type":["network"]}`:            "6",
		`{"scope":["swarm"]}`:                               "",
		`{"daemon":["x"]}`:                                  "",
		`{"secret":["x"],"config":["x"],"service":["x"]}`:   "",
		`{"plugin":[],"nosuch":["x"],"type":["network"]}`:   "6",
		`{"type":["container"],"image":["pg"],"label":[]}`:  "2",
		`{"type":{"container":true},"event":{"die":true}}`:  "",
		`{"event":["create"],"container":["aaa1","aaa2x"]}`: "1",
	} {
		_, body := getEvents(t, srv, "", "since=0&until=100&filters="+url.QueryEscape(filters))
		if got := seconds(t, body); got != want {
			t.Errorf("%s: %q, want %q", filters, got, want)
		}
	}
}

// seconds is when the events of a stream were.
func seconds(t *testing.T, body string) string {
	t.Helper()
	var got []string
	for dec := json.NewDecoder(strings.NewReader(body)); ; {
		var m struct{ Time json.Number }
		err := dec.Decode(&m)
		if err == io.EOF {
			return strings.Join(got, " ")
		}
		must(t, err)
		got = append(got, m.Time.String())
	}
}

func TestEventTimes(t *testing.T) {
	srv, _ := eventServer(t)
	for _, c := range []struct {
		query  string
		status int
		want   string // the events, or a part of the error
	}{
		{"since=5.5&until=9", 200, "5 6"},
		{"since=5.500000001&until=9", 200, "6"},
		{"until=2", 200, "1"},
		{"until=2.5", 200, "1 2"},
		{"since=0&until=0", 200, ""},
		{"since=9&until=10", 200, ""},
		{"since=5&until=4", 400, "`since` time (5) cannot be after `until` time (4)"},
		{"since=2020-01-01", 400, `invalid value for 'since': invalid timestamp \"2020-01-01\": invalid seconds \"2020-01-01\": invalid syntax`},
		{"until=10m", 400, `invalid value for 'until'`},
		{"since=1.x&until=2", 400, `invalid nanoseconds: invalid character 'x' at position 0`},
		{"since=1&until=2&filters=x", 400, "invalid filter"},
	} {
		resp, body := getEvents(t, srv, "", c.query)
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d %s", c.query, resp.StatusCode, body)
			continue
		}
		if got := body; c.status != 200 && !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.query, got)
		} else if c.status == 200 && seconds(t, body) != c.want {
			t.Errorf("%s: %s", c.query, body)
		}
	}
}

func TestEventForms(t *testing.T) {
	srv, _ := eventServer(t)
	for _, c := range []struct{ version, accept, mediaType, first string }{
		{"", "", "application/jsonl", `{"Type":"container"`},
		{"/v1.51", "", "application/json", `{"status":"create","id":"aaa1","from":"repo/app:1","Type":"container"`},
		{"/v1.51", "application/x-ndjson", "application/x-ndjson", `{"status"`},
		{"", "*/*", "application/jsonl", `{"Type"`},
		{"", "application/json-seq;q=0.5, text/html", "application/json-seq", "\x1e" + `{"Type"`},
		{"", "application/jsonl;q=0.1,application/x-ndjson;q=0.2", "application/x-ndjson", `{"Type"`},
		{"", "application/x-ndjson;q=0", "application/jsonl", `{"Type"`},
	} {
		resp, body := getEvents(t, srv, c.version, "since=0&until=100", c.accept)
		if got := resp.Header.Get("Content-Type"); got != c.mediaType || !strings.HasPrefix(body, c.first) {
			t.Errorf("%s %s: %s %.60s, want %s %s", c.version, c.accept, got, body, c.mediaType, c.first)
		}
	}
	if _, body := getEvents(t, srv, "/v1.45", `since=0&until=100&filters={"type":["image"]}`); strings.Contains(body, `"create"`) ||
		!strings.Contains(body, `{"status":"pull","id":"repo/app:1","Type"`) {
		t.Errorf("images before 1.46: %s", body)
	}
}

// TestEventsLive: what happens after the request arrives at once, and the stream ends with the client or at until.
func TestEventsLive(t *testing.T) {
	srv, bus := eventServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", srv.URL+"/events?since=6&filters="+url.QueryEscape(`{"type":["network"]}`), nil)
	must(t, err)
	resp, err := srv.Client().Do(req)
	must(t, err)
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	var m events.Message
	must(t, dec.Decode(&m))
	bus.Emit("container", "die", "x", nil)
	bus.Emit("network", "destroy", "net2", nil)
	if must(t, dec.Decode(&m)); m.Actor.ID != "net2" {
		t.Errorf("got %v", m)
	}
	end := time.Now().Add(200 * time.Millisecond)
	getEvents(t, srv, "", fmt.Sprintf("until=%d.%09d", end.Unix(), end.Nanosecond()))
	if late := time.Since(end); late < 0 {
		t.Errorf("the stream ended %v before its time", -late)
	}
}
