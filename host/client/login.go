package client

import (
	"context"
	"net/http"

	"github.com/moby/moby/api/types/registry"
)

// RegistryLogin has the engine check credentials against their registry.
func (c *Client) RegistryLogin(ctx context.Context, auth registry.AuthConfig) (registry.AuthResponse, error) {
	return call[registry.AuthResponse](ctx, c, request{method: http.MethodPost, path: "/auth", json: auth})
}
