// Package client speaks the Docker Engine API over whatever connection its dialer gives: a unix socket, a named
// pipe, TCP. It is what the CLI needs and no more, and imports no tracing or gRPC: a CLI that starts in a few
// milliseconds cannot afford their package inits.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// APIVersion is the newest version of the API that this client speaks: that of our own engine.
const APIVersion = "1.56"

// userAgent names us in the engine's log.
const userAgent = "naru"

// Dialer opens one connection to the engine. What it returns should have CloseWrite, else a half-close of stdin
// does not reach the container.
type Dialer func(ctx context.Context) (net.Conn, error)

// Options are what New takes beside the dialer.
type Options struct {
	// Endpoint is how people name the engine, for error texts: "unix:///var/lib/naru/docker.sock".
	Endpoint string
	// Negotiate asks the engine for its version before the first request and speaks an older one when it must.
	// Our own engine is of our release: then the round trip is saved until it refuses our version.
	Negotiate bool
}

// Client is a client of one engine. It is safe for concurrent use; Close drops its idle connections.
type Client struct {
	dial Dialer
	http *http.Client
	opts Options

	mu      sync.Mutex
	version string // guarded by mu; empty until negotiated
}

// New makes a client. Nothing is dialed before the first request.
func New(dial Dialer, opts Options) *Client {
	c := &Client{dial: dial, opts: opts}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return c.connect(ctx) },
			DisableCompression: true,
			MaxIdleConns:       4,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if !opts.Negotiate {
		c.version = APIVersion
	}
	return c
}

// Close closes the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) connect(ctx context.Context) (net.Conn, error) {
	conn, err := c.dial(ctx)
	if err != nil && ctx.Err() == nil {
		return nil, &ConnectError{Endpoint: c.opts.Endpoint, Err: err}
	}
	return conn, err
}

// Version is the version of the API that is spoken, negotiated first if it must be.
func (c *Client) Version(ctx context.Context) (string, error) {
	c.mu.Lock()
	version := c.version
	c.mu.Unlock()
	if version != "" {
		return version, nil
	}
	return c.negotiate(ctx)
}

// negotiate asks the engine for its newest version and settles on the older of the two.
func (c *Client) negotiate(ctx context.Context) (string, error) {
	p, err := c.Ping(ctx)
	if err != nil {
		return "", err
	}
	version := APIVersion
	if p.APIVersion != "" && Older(p.APIVersion, version) {
		version = p.APIVersion
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version = version
	return version, nil
}

// Older tells whether version a ("1.41") is older than b.
func Older(a, b string) bool {
	num := func(v string) (n [2]int) {
		major, minor, _ := strings.Cut(v, ".")
		n[0], _ = strconv.Atoi(major)
		n[1], _ = strconv.Atoi(minor)
		return n
	}
	x, y := num(a), num(b)
	return x[0] < y[0] || x[0] == y[0] && x[1] < y[1]
}

// request is one call of the API.
type request struct {
	method string
	path   string // without the version prefix
	query  url.Values
	json   any       // the body, when not nil
	raw    io.Reader // or this one
	header http.Header
	bare   bool // without a version prefix
}

// do sends r and returns the response of a success; the caller closes its body. Everything from 400 on is an *Error.
func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	resp, err := c.send(ctx, r)
	if err == nil || r.raw != nil || !isTooNew(err) {
		return resp, err
	}
	if _, nerr := c.negotiate(ctx); nerr != nil {
		return nil, err
	}
	return c.send(ctx, r)
}

func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unwrap(ctx, err)
	}
	return checkStatus(resp)
}

func (c *Client) newRequest(ctx context.Context, r request) (*http.Request, error) {
	path := r.path
	if !r.bare {
		version, err := c.Version(ctx)
		if err != nil {
			return nil, err
		}
		path = "/v" + version + path
	}
	if len(r.query) > 0 {
		path += "?" + r.query.Encode()
	}
	body := r.raw
	if r.json != nil {
		data, err := json.Marshal(r.json)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "http://naru"+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	if r.json != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	return req, nil
}

// unwrap removes what net/http wraps around an error: `Get "http://naru/v1.56/…":` tells people nothing.
func (c *Client) unwrap(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var connect *ConnectError
	if errors.As(err, &connect) {
		return connect
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("it closed the connection without an answer")
	}
	return &ConnectError{Endpoint: c.opts.Endpoint, Err: err}
}

// call sends a request and decodes the answer.
func call[T any](ctx context.Context, c *Client, r request) (out T, err error) {
	resp, err := c.do(ctx, r)
	if err != nil {
		return out, err
	}
	defer drain(resp)
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("decode the engine's answer to %s %s: %w", r.method, r.path, err)
	}
	return out, nil
}

// raw returns the body of the answer as it is.
func (c *Client) rawGet(ctx context.Context, path string, q url.Values) ([]byte, error) {
	resp, err := c.do(ctx, request{method: http.MethodGet, path: path, query: q})
	if err != nil {
		return nil, err
	}
	defer drain(resp)
	return io.ReadAll(resp.Body)
}

// plain sends a request whose answer has no content of interest.
func (c *Client) plain(ctx context.Context, r request) error {
	resp, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	drain(resp)
	return nil
}

// drain makes the connection usable for the next request.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}
