package build

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/identity"
)

// contextPrefix begins the host of an address that stands for the body of a request. No name in the DNS is so.
const contextPrefix = "build-context-"

// contextServer is the transport of BuildKit's HTTP source. It answers for the contexts that clients send in the body of
// a request, which BuildKit takes by their address, and passes the rest on.
type contextServer struct {
	next http.RoundTripper

	mu     sync.Mutex // guards bodies
	bodies map[string]io.ReadCloser
}

func newContextServer() *contextServer {
	dialer := net.Dialer{Timeout: 30 * time.Second}
	return &contextServer{bodies: map[string]io.ReadCloser{}, next: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: 30 * time.Second, IdleConnTimeout: time.Minute,
	}}
}

// offer returns an address that gives body once. done takes it back and closes body.
func (c *contextServer) offer(body io.ReadCloser) (address string, done func()) {
	id := identity.NewID()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodies[id] = body
	return "http://" + contextPrefix + id, func() {
		c.take(id)
		_ = body.Close()
	}
}

func (c *contextServer) take(id string) io.ReadCloser {
	c.mu.Lock()
	defer c.mu.Unlock()
	body := c.bodies[id]
	delete(c.bodies, id)
	return body
}

func (c *contextServer) RoundTrip(r *http.Request) (*http.Response, error) {
	id, ours := strings.CutPrefix(r.URL.Host, contextPrefix)
	if !ours {
		return c.next.RoundTrip(r)
	}
	if r.Method != http.MethodGet {
		return nil, errors.New("a build context can only be fetched")
	}
	body := c.take(id)
	if body == nil {
		return nil, errors.New("the build context was fetched before, or its request is over")
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: body, ContentLength: -1, Request: r,
	}, nil
}

// uploads brings the two requests together by which older clients build from stdin: one with the options, which waits, and
// one with the body.
type uploads struct {
	jobs map[string]*job // by the client's build ID; guarded by Builder.mu
}

type job struct {
	cancel context.CancelFunc // of the build; nil before it has begun
	body   chan io.ReadCloser
	used   chan struct{} // closed when the body is not needed any more
}

// uploadPatience is how long one of the two waits for the other, as in Docker.
const uploadPatience = 5 * time.Second

// job returns the one with the ID, making it.
func (b *Builder) job(id string) *job {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.jobs[id]
	if j == nil {
		j = &job{body: make(chan io.ReadCloser), used: make(chan struct{})}
		b.jobs[id] = j
	}
	return j
}

// begin notes how to cancel a build that has an ID. The caller calls end when it is over.
func (b *Builder) begin(ctx context.Context, id string) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	if id == "" {
		return ctx, cancel
	}
	j := b.job(id)
	b.mu.Lock()
	j.cancel = cancel
	b.mu.Unlock()
	return ctx, func() {
		cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.jobs, id)
		close(j.used)
	}
}

// Cancel ends the build with the client's ID, if there is one.
func (b *Builder) Cancel(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j := b.jobs[id]; j != nil && j.cancel != nil {
		j.cancel()
	}
}

// Upload gives body to the build that waits for it, and returns when the build has read it.
func (b *Builder) Upload(ctx context.Context, id string, body io.ReadCloser) error {
	j := b.job(id)
	late := time.NewTimer(uploadPatience)
	defer late.Stop()
	select {
	case j.body <- body:
	case <-late.C:
		return errors.New("no build waits for this upload")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-j.used:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// uploaded waits for the body that another request brings.
func (b *Builder) uploaded(ctx context.Context, id string) (io.ReadCloser, error) {
	late := time.NewTimer(uploadPatience)
	defer late.Stop()
	select {
	case body := <-b.job(id).body:
		return body, nil
	case <-late.C:
		return nil, errors.New("the build's context was not uploaded")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
