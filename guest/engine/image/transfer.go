package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
)

// patience is how long a registry that does not do its work is waited for.
type patience struct {
	tries int           // requests in all
	first time.Duration // before the second request; doubled each time
	most  time.Duration // for which a server's Retry-After is obeyed; longer is an error at once
	stall time.Duration // without a byte, until a connection is given up
	store time.Duration // for the answer to an upload that is whole; not below stall
}

var defaultPatience = patience{tries: 5, first: 250 * time.Millisecond, most: time.Minute, stall: 30 * time.Second, store: 10 * time.Minute}

// dialTime bounds one attempt to connect.
const dialTime = 30 * time.Second

// retrier asks again what a server could not answer just then, as long as asking changes nothing there (GET, HEAD), and ends
// connections that stall. A body that breaks off reads as io.ErrUnexpectedEOF: containerd then asks for the rest by Range.
// Uploads are not its to repeat: see blobPusher.
type retrier struct {
	next http.RoundTripper
	patience
}

// statusError is the answer that all requests got.
type statusError struct {
	status int
	text   string // "503 Service Unavailable"
	method string
	url    string // without its query
	wait   time.Duration
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("registry answered %s to %s %s", e.text, e.method, e.url)
	if e.wait > 0 {
		text += fmt.Sprintf(" and asks to wait for %s", e.wait)
	}
	return text
}

func (e *statusError) Is(target error) bool {
	if e.status == http.StatusTooManyRequests {
		return target == errdefs.ErrResourceExhausted
	}
	return target == errdefs.ErrUnavailable
}

func (r *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	repeatable := repeatable(req)
	for try := 1; ; try++ {
		resp, err := r.once(req)
		if err == nil && !temporary(resp.StatusCode) {
			return resp, nil
		}
		if err == nil && req.Method == http.MethodPut { // an upload: whoever has its bytes begins anew
			drain(resp)
			return nil, &statusError{resp.StatusCode, resp.Status, req.Method, redacted(req.URL.String()), retryAfter(resp.Header)}
		}
		if !repeatable || (err != nil && !transient(req.Context(), err)) {
			return resp, err
		}
		wait := r.first<<(try-1) + rand.N(r.first)
		if err == nil {
			asked := retryAfter(resp.Header)
			drain(resp)
			err = &statusError{resp.StatusCode, resp.Status, req.Method, redacted(req.URL.String()), asked}
			if asked > r.most {
				return nil, err
			}
			wait = max(wait, asked)
		}
		if try == r.tries {
			return nil, err
		}
		select {
		case <-time.After(wait):
		case <-req.Context().Done():
			return nil, context.Cause(req.Context())
		}
	}
}

// repeatable tells whether asking again changes nothing: the start of an upload that nobody uses is forgotten by the registry.
func repeatable(req *http.Request) bool {
	start := req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/blobs/uploads/") && (req.Body == nil || req.Body == http.NoBody)
	return start || req.Method == http.MethodGet || req.Method == http.MethodHead
}

// once is one request whose connection is given up when nothing comes for too long, before the answer or in its body.
func (r *retrier) once(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	watch := time.AfterFunc(r.stall, func() { cancel(errStalled) })
	sent := req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		body := &uploadBody{ReadCloser: req.Body, watch: watch, patience: r.patience}
		defer body.answered.Store(true)
		sent.Body = body
	}
	resp, err := r.next.RoundTrip(sent)
	if err != nil {
		watch.Stop()
		if errors.Is(context.Cause(ctx), errStalled) {
			err = errStalled
		}
		cancel(nil)
		return nil, err
	}
	resp.Request = req
	resp.Body = &watchedBody{ReadCloser: resp.Body, watch: watch, stall: r.stall, cancel: cancel, ctx: req.Context()}
	return resp, nil
}

// uploadBody gives an upload up when the registry takes no more of it for too long. Then it may take its time to store it.
type uploadBody struct {
	io.ReadCloser
	patience
	watch    *time.Timer
	answered atomic.Bool
}

func (b *uploadBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case b.answered.Load():
	case err != nil:
		b.watch.Reset(max(b.store, b.stall))
	default:
		b.watch.Reset(b.stall)
	}
	return n, err
}

var errStalled = fmt.Errorf("the registry sent nothing for too long: %w", io.ErrUnexpectedEOF)

// watchedBody gives up when a read takes too long.
type watchedBody struct {
	io.ReadCloser
	ctx    context.Context // of the request
	watch  *time.Timer
	stall  time.Duration
	cancel context.CancelCauseFunc
	end    sync.Once
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.watch.Reset(b.stall)
	n, err := b.ReadCloser.Read(p)
	b.watch.Stop()
	if err == nil || err == io.EOF || b.ctx.Err() != nil {
		return n, err
	}
	return n, io.ErrUnexpectedEOF // also a reset and a stall: all can be taken up again
}

func (b *watchedBody) Close() error {
	err := b.ReadCloser.Close()
	b.end.Do(func() { b.watch.Stop(); b.cancel(nil) })
	return err
}

func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	_ = resp.Body.Close()
}

func temporary(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// transient tells of an error without an answer whether asking again may help: a name that is not there, a certificate that
// is not trusted and a refusal of ours stay what they are.
func transient(ctx context.Context, err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case ctx.Err() != nil, errdefs.IsPermissionDenied(err):
		return false
	case errors.As(err, &dns):
		return dns.IsTemporary
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	case errors.As(err, &op): // a connection that was refused will be again; one that broke off may not
		return op.Op == "read" || op.Op == "write" || op.Timeout()
	}
	return false
}

// retryAfter is what a server asks to wait, in seconds or until a date. https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at).Round(time.Second))
	}
	return 0
}
