package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// ContainerTop lists a container's processes as ps with the given options does.
func (c *Client) ContainerTop(ctx context.Context, id string, psOptions []string) (container.TopResponse, error) {
	q := url.Values{}
	setIf(q, "ps_args", strings.Join(psOptions, " "))
	return call[container.TopResponse](ctx, c, request{method: http.MethodGet, path: containerPath(id, "/top"), query: q})
}

// ContainerStats calls each for a container's samples: with stream one a second until the container is removed, each
// fails or ctx is done; else for one that has the sample before it.
func (c *Client) ContainerStats(ctx context.Context, id string, stream bool, each func(*container.StatsResponse) error) error {
	q := url.Values{"stream": {"0"}}
	if stream {
		q.Set("stream", "1")
	}
	resp, err := c.do(ctx, request{method: http.MethodGet, path: containerPath(id, "/stats"), query: q})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var s container.StatsResponse
		if err := dec.Decode(&s); err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		if err := each(&s); err != nil {
			return err
		}
	}
}
