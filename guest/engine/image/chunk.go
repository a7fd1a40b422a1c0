package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// chunking is how large layers are downloaded over several connections: many servers give each only so much.
type chunking struct {
	from  int64         // bytes that a layer must still lack
	size  int64         // of a chunk, bytes
	most  int           // of one layer at once
	slots chan struct{} // has an element for each chunk in memory, of all layers
	pool  *sync.Pool    // of *[]byte of one chunk
}

func newChunking(from, size int64, most, slots int) chunking {
	return chunking{from: from, size: size, most: most, slots: make(chan struct{}, slots),
		pool: &sync.Pool{New: func() any { b := make([]byte, size); return &b }}}
}

// defaultChunking holds at most 24 MiB.
func defaultChunking() chunking { return newChunking(32<<20, 4<<20, 3, 6) }

// chunkedFetcher downloads large layers in chunks where the registry answers a Range as it should. A download begins as any
// other. While its first chunk comes, the next ones are asked for; when the first of those was right, the plain download is
// ended there, else it goes on. Whatever goes wrong with a chunk later, a plain download from there on takes over, with all
// its patience.
type chunkedFetcher struct {
	remotes.Fetcher
	o chunking
}

func (f chunkedFetcher) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if !images.IsLayerType(desc.MediaType) || desc.Size < f.o.from {
		return f.Fetcher.Fetch(ctx, desc)
	}
	plain, err := f.Fetcher.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	r := &chunkedReader{f: f, desc: desc, base: ctx, plain: plain}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r, nil
}

// chunkedReader is one download. It is used by one goroutine at a time.
type chunkedReader struct {
	f      chunkedFetcher
	desc   ocispec.Descriptor
	ctx    context.Context // of the chunks
	cancel context.CancelFunc
	base   context.Context // of the plain download

	at    int64         // what is read next
	plain io.ReadCloser // nil while chunks are read
	until int64         // where plain may be ended; 0: it has not begun, or goes on to the end
	only  bool          // no chunks any more
	asked []*chunk      // by their order; the first begins at until, or at what is read
}

// chunk is a part of a layer.
type chunk struct {
	from, to int64 // to is the byte after the last
	buf      *[]byte
	read     int64         // of buf by the reader
	err      error         // valid once done is closed
	done     chan struct{} // closed when it is there
}

// Seek is for the beginning, when a part is there from before.
func (r *chunkedReader) Seek(offset int64, whence int) (int64, error) {
	s, ok := r.plain.(io.Seeker)
	if !ok || r.until != 0 || r.only || whence != io.SeekStart {
		return r.at, errors.New("this download can be sought only at its beginning")
	}
	var err error
	r.at, err = s.Seek(offset, whence)
	return r.at, err
}

func (r *chunkedReader) Read(p []byte) (int, error) {
	for r.plain == nil {
		n, ok := r.readChunk(p)
		if ok {
			return n, nil
		}
		if err := r.goOn(); err != nil {
			return 0, err
		}
	}
	if r.until > 0 {
		if r.at == r.until {
			r.turn()
			return r.Read(p)
		}
		p = p[:min(int64(len(p)), r.until-r.at)]
	}
	n, err := r.plain.Read(p)
	r.at += int64(n)
	if n > 0 && r.until == 0 && !r.only { // it has begun
		r.only = r.desc.Size-r.at < r.f.o.from
		if !r.only {
			r.until = r.at + r.f.o.size
			r.ask()
		}
	}
	return n, err
}

// turn is where the plain download has come to the first chunk.
func (r *chunkedReader) turn() {
	if len(r.asked) > 0 {
		<-r.asked[0].done
		if r.asked[0].err == nil {
			_ = r.plain.Close()
			r.plain, r.until = nil, 0
			return
		}
	}
	r.drop()
	r.until, r.only = 0, true
}

// goOn downloads the rest in the plain way.
func (r *chunkedReader) goOn() error {
	r.drop()
	r.only = true
	if r.at == r.desc.Size {
		r.plain = io.NopCloser(strings.NewReader(""))
		return nil
	}
	rc, err := r.f.Fetcher.Fetch(r.base, r.desc)
	if err != nil {
		return err
	}
	s, ok := rc.(io.Seeker)
	if !ok {
		return errors.Join(errors.New("this download cannot be taken up again"), rc.Close())
	}
	if _, err := s.Seek(r.at, io.SeekStart); err != nil {
		return errors.Join(err, rc.Close())
	}
	r.plain = rc
	return nil
}

// readChunk reads from the first chunk, or tells that it cannot.
func (r *chunkedReader) readChunk(p []byte) (int, bool) {
	r.ask()
	if len(r.asked) == 0 {
		return 0, false
	}
	c := r.asked[0]
	<-c.done
	if c.err != nil {
		return 0, false
	}
	n := copy(p, (*c.buf)[c.read:c.to-c.from])
	c.read += int64(n)
	r.at += int64(n)
	if r.at == c.to {
		r.release(c)
		r.asked = r.asked[1:]
	}
	return n, true
}

// ask asks for as many chunks as may be held.
func (r *chunkedReader) ask() {
	for len(r.asked) < r.f.o.most {
		from := max(r.at, r.until)
		if n := len(r.asked); n > 0 {
			from = r.asked[n-1].to
		}
		if from >= r.desc.Size {
			return
		}
		select {
		case r.f.o.slots <- struct{}{}:
		default:
			return
		}
		c := &chunk{from: from, to: min(from+r.f.o.size, r.desc.Size), buf: r.f.o.pool.Get().(*[]byte), done: make(chan struct{})}
		r.asked = append(r.asked, c)
		go func() { // readChunk or drop waits for it
			defer close(c.done)
			c.err = r.fetch(c)
		}()
	}
}

func (r *chunkedReader) fetch(c *chunk) error {
	rc, err := r.f.Fetcher.Fetch(context.WithValue(r.ctx, partKey{}, c.to), r.desc)
	if err != nil {
		return err
	}
	defer rc.Close()
	s, ok := rc.(io.Seeker)
	if !ok {
		return errNoPart
	}
	if _, err := s.Seek(c.from, io.SeekStart); err != nil {
		return err
	}
	_, err = io.ReadFull(rc, (*c.buf)[:c.to-c.from])
	return err
}

func (r *chunkedReader) release(c *chunk) {
	r.f.o.pool.Put(c.buf)
	c.buf = nil
	<-r.f.o.slots
}

// drop gives up the chunks that were asked for; there will be no others.
func (r *chunkedReader) drop() {
	r.cancel()
	for _, c := range r.asked {
		<-c.done
		r.release(c)
	}
	r.asked = nil
}

// Close ends all requests.
func (r *chunkedReader) Close() error {
	r.drop()
	if r.plain == nil {
		return nil
	}
	return r.plain.Close()
}

// partKey is for the byte after the last one that a request for a part of a blob wants, an int64. containerd's fetcher asks
// for everything from an offset on.
type partKey struct{}

var errNoPart = errors.New("the registry does not answer a Range as it should")

// part is what a request asks for.
type part struct{ from, to int64 }

// partOf is the part that a request is for, which its Range then says, too.
func partOf(req *http.Request) (*http.Request, *part) {
	to, ok := req.Context().Value(partKey{}).(int64)
	if !ok || req.Method != http.MethodGet {
		return req, nil
	}
	text, open := strings.CutSuffix(strings.TrimPrefix(req.Header.Get("Range"), "bytes="), "-")
	from, err := strconv.ParseInt(text, 10, 64)
	if !open || err != nil || from >= to {
		return req, nil
	}
	req = req.Clone(req.Context())
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	return req, &part{from, to}
}

// check refuses a success that is anything but the part. https://www.rfc-editor.org/rfc/rfc9110#name-206-partial-content
func (p *part) check(resp *http.Response) error {
	if resp.StatusCode >= 300 {
		return nil
	}
	prefix := fmt.Sprintf("bytes %d-%d/", p.from, p.to-1)
	if resp.StatusCode != http.StatusPartialContent || !strings.HasPrefix(resp.Header.Get("Content-Range"), prefix) ||
		resp.ContentLength != p.to-p.from || resp.Header.Get("Content-Encoding") != "" {
		return errNoPart
	}
	return nil
}
