package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/moby/moby/api/types/container"
)

func containerPath(id, what string) string { return "/containers/" + url.PathEscape(id) + what }

// ContainerCreate makes a container. name and platform may be empty.
func (c *Client) ContainerCreate(ctx context.Context, req container.CreateRequest, name, platform string) (container.CreateResponse, error) {
	q := url.Values{}
	setIf(q, "name", name)
	setIf(q, "platform", platform)
	return call[container.CreateResponse](ctx, c, request{method: http.MethodPost, path: "/containers/create", query: q, json: req})
}

// ContainerStart starts a container; one that runs is no error.
func (c *Client) ContainerStart(ctx context.Context, id string) error {
	return c.plain(ctx, request{method: http.MethodPost, path: containerPath(id, "/start")})
}

// StopOptions are those of stop and restart. Timeout is seconds until SIGKILL, -1 for never, nil for the container's.
type StopOptions struct {
	Signal  string
	Timeout *int
}

func (o StopOptions) query() url.Values {
	q := url.Values{}
	setIf(q, "signal", o.Signal)
	if o.Timeout != nil {
		q.Set("t", strconv.Itoa(*o.Timeout))
	}
	return q
}

// ContainerStop stops a container; one that does not run is no error.
func (c *Client) ContainerStop(ctx context.Context, id string, o StopOptions) error {
	return c.plain(ctx, request{method: http.MethodPost, path: containerPath(id, "/stop"), query: o.query()})
}

// ContainerRestart stops a container if it runs and starts it.
func (c *Client) ContainerRestart(ctx context.Context, id string, o StopOptions) error {
	return c.plain(ctx, request{method: http.MethodPost, path: containerPath(id, "/restart"), query: o.query()})
}

// ContainerKill sends a signal, SIGKILL when it is empty.
func (c *Client) ContainerKill(ctx context.Context, id, signal string) error {
	q := url.Values{}
	setIf(q, "signal", signal)
	return c.plain(ctx, request{method: http.MethodPost, path: containerPath(id, "/kill"), query: q})
}

// ContainerPause freezes all processes of a container.
func (c *Client) ContainerPause(ctx context.Context, id string) error {
	return c.plain(ctx, request{method: http.MethodPost, path: containerPath(id, "/pause")})
}

// ContainerUnpause lets the processes of a paused container go on.
func (c *Client) ContainerUnpause(ctx context.Context, id string) error {
	return c.plain(ctx, request{method: http.MethodPost, path: containerPath(id, "/unpause")})
}

// ContainerUpdate changes the limits and the restart policy of a container.
func (c *Client) ContainerUpdate(ctx context.Context, id string, u container.UpdateConfig) (container.UpdateResponse, error) {
	return call[container.UpdateResponse](ctx, c, request{method: http.MethodPost, path: containerPath(id, "/update"), json: u})
}

// ContainerRename gives a container another name.
func (c *Client) ContainerRename(ctx context.Context, id, name string) error {
	return c.plain(ctx, request{method: http.MethodPost, path: containerPath(id, "/rename"), query: url.Values{"name": {name}}})
}

// RemoveOptions are those of rm.
type RemoveOptions struct {
	Force   bool // kill it first
	Volumes bool // its anonymous volumes too
	Link    bool // only the link of that name
}

// ContainerRemove removes a container.
func (c *Client) ContainerRemove(ctx context.Context, id string, o RemoveOptions) error {
	q := url.Values{}
	setBool(q, "force", o.Force)
	setBool(q, "v", o.Volumes)
	setBool(q, "link", o.Link)
	return c.plain(ctx, request{method: http.MethodDelete, path: containerPath(id, ""), query: q})
}

// ContainersPrune removes the containers that do not run.
func (c *Client) ContainersPrune(ctx context.Context, f Filters) (container.PruneReport, error) {
	q := url.Values{}
	f.set(q)
	return call[container.PruneReport](ctx, c, request{method: http.MethodPost, path: "/containers/prune", query: q})
}

// ContainerInspect tells all about a container.
func (c *Client) ContainerInspect(ctx context.Context, id string) (container.InspectResponse, error) {
	return call[container.InspectResponse](ctx, c, request{method: http.MethodGet, path: containerPath(id, "/json")})
}

// ContainerInspectRaw is the same as the engine wrote it.
func (c *Client) ContainerInspectRaw(ctx context.Context, id string, size bool) ([]byte, error) {
	q := url.Values{}
	setBool(q, "size", size)
	return c.rawGet(ctx, containerPath(id, "/json"), q)
}

// ListOptions are those of ps.
type ListOptions struct {
	All     bool
	Limit   int // the newest n, of any state; 0 for no limit
	Size    bool
	Filters Filters
}

// ContainerList lists containers, the newest first.
func (c *Client) ContainerList(ctx context.Context, o ListOptions) ([]container.Summary, error) {
	q := url.Values{}
	setBool(q, "all", o.All)
	setBool(q, "size", o.Size)
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	o.Filters.set(q)
	return call[[]container.Summary](ctx, c, request{method: http.MethodGet, path: "/containers/json", query: q})
}

// LogsOptions are those of logs. Since and Until are in the API's form: seconds since 1970 with a fraction.
type LogsOptions struct {
	Follow, Timestamps, Details bool
	Since, Until, Tail          string
}

// ContainerLogs opens a container's log: raw for one with a terminal, else frames. The caller closes it.
func (c *Client) ContainerLogs(ctx context.Context, id string, o LogsOptions) (io.ReadCloser, error) {
	q := url.Values{"stdout": {"1"}, "stderr": {"1"}}
	setBool(q, "follow", o.Follow)
	setBool(q, "timestamps", o.Timestamps)
	setBool(q, "details", o.Details)
	setIf(q, "since", o.Since)
	setIf(q, "until", o.Until)
	setIf(q, "tail", o.Tail)
	resp, err := c.do(ctx, request{method: http.MethodGet, path: containerPath(id, "/logs"), query: q})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// AttachOptions says what the stream of an attach carries.
type AttachOptions struct {
	Stdin, Stdout, Stderr, Logs bool
	DetachKeys                  string
}

// ContainerAttach attaches to a container, also to one that was not started yet. The caller closes the stream.
func (c *Client) ContainerAttach(ctx context.Context, id string, o AttachOptions) (*Stream, error) {
	q := url.Values{"stream": {"1"}}
	setBool(q, "stdin", o.Stdin)
	setBool(q, "stdout", o.Stdout)
	setBool(q, "stderr", o.Stderr)
	setBool(q, "logs", o.Logs)
	setIf(q, "detachKeys", o.DetachKeys)
	return c.hijack(ctx, request{method: http.MethodPost, path: containerPath(id, "/attach"), query: q})
}

// Resize tells a container's terminal its size in characters.
func (c *Client) ContainerResize(ctx context.Context, id string, rows, cols uint) error {
	return c.plain(ctx, request{method: http.MethodPost, path: containerPath(id, "/resize"), query: sizeQuery(rows, cols)})
}

func sizeQuery(rows, cols uint) url.Values {
	return url.Values{"h": {strconv.FormatUint(uint64(rows), 10)}, "w": {strconv.FormatUint(uint64(cols), 10)}}
}

// Waiting is a wait whose request the engine has taken: what happens from now on is not missed.
type Waiting struct {
	resp *http.Response
}

// ContainerWait begins to wait for a container and returns when the engine has taken the request.
func (c *Client) ContainerWait(ctx context.Context, id string, condition container.WaitCondition) (*Waiting, error) {
	q := url.Values{}
	setIf(q, "condition", string(condition))
	resp, err := c.do(ctx, request{method: http.MethodPost, path: containerPath(id, "/wait"), query: q})
	if err != nil {
		return nil, err
	}
	return &Waiting{resp}, nil
}

// Result waits for the end and returns the exit code. Call Result or Close once.
func (w *Waiting) Result() (int, error) {
	defer w.Close()
	var r container.WaitResponse
	if err := json.NewDecoder(w.resp.Body).Decode(&r); err != nil {
		return 0, err
	}
	if r.Error != nil && r.Error.Message != "" {
		return int(r.StatusCode), errors.New(r.Error.Message)
	}
	return int(r.StatusCode), nil
}

// Close gives up waiting.
func (w *Waiting) Close() { _ = w.resp.Body.Close() }
