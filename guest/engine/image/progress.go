package image

import (
	"io"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// progressEvery is the least time between two messages about one layer's bytes.
const progressEvery = 100 * time.Millisecond

// layerProgress tells in Docker's words how far each layer of a pull is. All methods work on nil.
type layerProgress struct {
	send Progress
	mu   sync.Mutex // guards layers
	// layers holds only those that were announced; others are silent.
	layers map[digest.Digest]*layerState
}

type layerState struct {
	last     time.Time // of the last message about bytes
	fetched  bool
	complete bool
}

func newLayerProgress(send Progress) *layerProgress {
	if send == nil {
		return nil
	}
	return &layerProgress{send: send, layers: map[digest.Digest]*layerState{}}
}

func shortID(d digest.Digest) string {
	hex := d.Encoded()
	return hex[:min(12, len(hex))]
}

func (p *layerProgress) message(m Message) {
	if p != nil {
		p.send(m)
	}
}

// announce starts the line of a layer that is to come; exists ends it at once.
func (p *layerProgress) announce(desc ocispec.Descriptor, exists bool) {
	if p == nil {
		return
	}
	p.mu.Lock()
	_, known := p.layers[desc.Digest]
	p.layers[desc.Digest] = &layerState{fetched: exists, complete: exists}
	p.mu.Unlock()
	switch {
	case known: // an image may hold a layer twice
	case exists:
		p.send(Message{ID: shortID(desc.Digest), Status: "Already exists"})
	default:
		p.send(Message{ID: shortID(desc.Digest), Status: "Pulling fs layer"})
	}
}

// update runs f on an announced layer's state and sends a message when f says so.
func (p *layerProgress) update(desc ocispec.Descriptor, m Message, f func(*layerState) bool) {
	if p == nil {
		return
	}
	p.mu.Lock()
	l := p.layers[desc.Digest]
	ok := l != nil && f(l)
	p.mu.Unlock()
	if ok {
		m.ID = shortID(desc.Digest)
		p.send(m)
	}
}

func (p *layerProgress) bytes(desc ocispec.Descriptor, status string, n int64) {
	p.update(desc, Message{Status: status, Current: n, Total: desc.Size}, func(l *layerState) bool {
		now := time.Now()
		if l.complete || now.Sub(l.last) < progressEvery {
			return false
		}
		l.last = now
		return true
	})
}

func (p *layerProgress) fetched(desc ocispec.Descriptor) {
	if !images.IsLayerType(desc.MediaType) {
		return
	}
	p.update(desc, Message{Status: "Download complete"}, func(l *layerState) bool {
		was := l.fetched
		l.fetched, l.last = true, time.Time{}
		return !was
	})
}

// extracting is a diff.WithProgress callback.
func (p *layerProgress) extracting(desc ocispec.Descriptor, n int64) { p.bytes(desc, "Extracting", n) }

func (p *layerProgress) complete(desc ocispec.Descriptor) {
	p.update(desc, Message{Status: "Pull complete"}, func(l *layerState) bool {
		was := l.complete
		l.complete = true
		return !was
	})
}

// reader counts what is downloaded of a layer.
func (p *layerProgress) reader(desc ocispec.Descriptor, rc io.ReadCloser) io.ReadCloser {
	r := &countingReader{ReadCloser: rc, p: p, desc: desc}
	if s, ok := rc.(io.Seeker); ok { // a download that breaks off is taken up again by seeking
		return struct {
			*countingReader
			io.Seeker
		}{r, seekCounter{s, r}}
	}
	return r
}

type countingReader struct {
	io.ReadCloser
	p    *layerProgress
	desc ocispec.Descriptor
	n    int64
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	r.n += int64(n)
	if err == io.EOF {
		r.p.update(r.desc, Message{Status: "Verifying Checksum"}, func(l *layerState) bool { return !l.fetched })
	} else {
		r.p.bytes(r.desc, "Downloading", r.n)
	}
	return n, err
}

type seekCounter struct {
	io.Seeker
	r *countingReader
}

func (s seekCounter) Seek(offset int64, whence int) (int64, error) {
	n, err := s.Seeker.Seek(offset, whence)
	if err == nil {
		s.r.n = n
	}
	return n, err
}
