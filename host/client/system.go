package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/system"

	"naru/guest/api"
)

// Ping is what /_ping told.
type Ping struct {
	APIVersion string // the newest that the engine serves
	OSType     string
}

// Ping asks whether the engine lives.
func (c *Client) Ping(ctx context.Context) (Ping, error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/_ping", bare: true})
	if err != nil {
		return Ping{}, err
	}
	drain(resp)
	return Ping{APIVersion: resp.Header.Get("Api-Version"), OSType: resp.Header.Get("Ostype")}, nil
}

// ServerVersion asks for the engine's version.
func (c *Client) ServerVersion(ctx context.Context) (system.VersionResponse, error) {
	return call[system.VersionResponse](ctx, c, request{method: http.MethodGet, path: "/version"})
}

// Info asks for what the engine has and where it runs; raw is the whole answer.
func (c *Client) Info(ctx context.Context) (info system.Info, raw []byte, err error) {
	raw, err = c.rawGet(ctx, "/info", nil)
	if err != nil {
		return info, nil, err
	}
	return info, raw, json.Unmarshal(raw, &info)
}

// NaruInfo asks for what Docker's info has no word for. Another engine than ours answers with an error.
func (c *Client) NaruInfo(ctx context.Context) (api.Info, error) {
	return call[api.Info](ctx, c, request{method: http.MethodGet, path: api.InfoPath, bare: true})
}

// Events calls each for every event until the stream ends, each fails or ctx is done. since and until are in the
// form of the API (empty for none).
func (c *Client) Events(ctx context.Context, since, until string, filters Filters, each func(events.Message) error) error {
	q := url.Values{}
	setIf(q, "since", since)
	setIf(q, "until", until)
	filters.set(q)
	resp, err := c.do(ctx, request{method: http.MethodGet, path: "/events", query: q})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var m events.Message
		if err := dec.Decode(&m); err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		if err := each(m); err != nil {
			return err
		}
	}
}

// Filters are the filters of a list: each key with the values of which one must fit.
type Filters map[string][]string

// set writes them in the API's form: {"key":{"value":true}}.
func (f Filters) set(q url.Values) {
	if len(f) == 0 {
		return
	}
	wire := map[string]map[string]bool{}
	for k, values := range f {
		wire[k] = map[string]bool{}
		for _, v := range values {
			wire[k][v] = true
		}
	}
	data, _ := json.Marshal(wire) // maps of strings and bools can be encoded
	q.Set("filters", string(data))
}

func setIf(q url.Values, key, value string) {
	if value != "" {
		q.Set(key, value)
	}
}

func setBool(q url.Values, key string, value bool) {
	if value {
		q.Set(key, "1")
	}
}
