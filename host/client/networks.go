package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/moby/moby/api/types/network"
)

// NetworkList lists networks.
func (c *Client) NetworkList(ctx context.Context, f Filters) ([]network.Summary, error) {
	q := url.Values{}
	f.set(q)
	return call[[]network.Summary](ctx, c, request{method: http.MethodGet, path: "/networks", query: q})
}

// NetworkInspectRaw tells all about a network as the engine wrote it.
func (c *Client) NetworkInspectRaw(ctx context.Context, name string) ([]byte, error) {
	return c.rawGet(ctx, networkPath(name, ""), nil)
}

// NetworkCreate makes a network.
func (c *Client) NetworkCreate(ctx context.Context, req network.CreateRequest) (network.CreateResponse, error) {
	return call[network.CreateResponse](ctx, c, request{method: http.MethodPost, path: "/networks/create", json: req})
}

// NetworkRemove removes a network that no container is on.
func (c *Client) NetworkRemove(ctx context.Context, name string) error {
	return c.plain(ctx, request{method: http.MethodDelete, path: networkPath(name, "")})
}

// NetworksPrune removes the networks that no container is on.
func (c *Client) NetworksPrune(ctx context.Context, f Filters) (network.PruneReport, error) {
	q := url.Values{}
	f.set(q)
	return call[network.PruneReport](ctx, c, request{method: http.MethodPost, path: "/networks/prune", query: q})
}

// NetworkConnect puts a container on a network.
func (c *Client) NetworkConnect(ctx context.Context, name string, req network.ConnectRequest) error {
	return c.plain(ctx, request{method: http.MethodPost, path: networkPath(name, "/connect"), json: req})
}

// NetworkDisconnect takes a container off a network.
func (c *Client) NetworkDisconnect(ctx context.Context, name string, req network.DisconnectRequest) error {
	return c.plain(ctx, request{method: http.MethodPost, path: networkPath(name, "/disconnect"), json: req})
}

func networkPath(name, verb string) string { return "/networks/" + url.PathEscape(name) + verb }
