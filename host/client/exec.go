package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/moby/moby/api/types/container"
)

// ExecCreate prepares a process in a running container and returns its ID.
func (c *Client) ExecCreate(ctx context.Context, id string, req container.ExecCreateRequest) (string, error) {
	resp, err := call[container.ExecCreateResponse](ctx, c, request{method: http.MethodPost, path: containerPath(id, "/exec"), json: req})
	return resp.ID, err
}

func execPath(id, what string) string { return "/exec/" + url.PathEscape(id) + what }

// ExecStart starts it detached.
func (c *Client) ExecStart(ctx context.Context, id string, tty bool) error {
	return c.plain(ctx, request{method: http.MethodPost, path: execPath(id, "/start"),
		json: container.ExecStartRequest{Detach: true, Tty: tty}})
}

// ExecAttach starts it and returns its streams, which the caller closes. size is rows and columns, nil for none.
func (c *Client) ExecAttach(ctx context.Context, id string, tty bool, size *[2]uint) (*Stream, error) {
	return c.hijack(ctx, request{method: http.MethodPost, path: execPath(id, "/start"),
		json: container.ExecStartRequest{Tty: tty, ConsoleSize: size}})
}

// ExecInspect tells whether it runs and how it ended.
func (c *Client) ExecInspect(ctx context.Context, id string) (container.ExecInspectResponse, error) {
	return call[container.ExecInspectResponse](ctx, c, request{method: http.MethodGet, path: execPath(id, "/json")})
}

// ExecResize tells its terminal its size.
func (c *Client) ExecResize(ctx context.Context, id string, rows, cols uint) error {
	return c.plain(ctx, request{method: http.MethodPost, path: execPath(id, "/resize"), query: sizeQuery(rows, cols)})
}
