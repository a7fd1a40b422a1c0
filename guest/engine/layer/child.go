package layer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"naru/guest/engine/archive"
)

// childName is how this program is called when it is the child.
const childName = "naru-unpack"

// Descriptors that the child inherits.
const (
	blobFD   = 3
	answerFD = 4
)

type childOptions struct {
	Dir      string
	BlobSize int64
	Budget   Budget
}

// The child begins here, in whatever program this package is part of, the tests' included, before its main.
func init() {
	if len(os.Args) != 1 || os.Args[0] != childName {
		return
	}
	if err := child(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child() error {
	var o childOptions
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		return fmt.Errorf("read options: %w", err)
	}
	if err := confine(o); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	a := unpack(os.NewFile(blobFD, "blob"), o)
	out := os.NewFile(answerFD, "answer")
	if err := json.NewEncoder(out).Encode(a); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

// unpack is what the child is for. It runs confined.
func unpack(blob io.Reader, o childOptions) (a answer) {
	fail := func(err error) answer {
		a.Error = err.Error()
		_ = errors.As(err, &a.Errno)
		if errdefs.IsInvalidArgument(err) || a.Errno == 0 {
			a.Class = "invalid"
		}
		return a
	}
	dest, err := openRoot(targetDir)
	if err != nil {
		return fail(err)
	}
	plain, err := archive.Decompress(blob)
	if err != nil {
		return fail(err)
	}
	ahead := newReader(plain, o)
	defer ahead.stop()
	if a.Report, err = archive.ApplyLayer(context.Background(), ahead, dest, o.Budget.LayerBudget); err != nil {
		return fail(err)
	}
	if _, err := io.Copy(io.Discard, ahead); err != nil { // the digest is that of everything
		return fail(err)
	}
	a.Size, a.DiffID = ahead.n, ahead.sum()
	return a
}

// reader decompresses in one goroutine and digests in another, some buffers ahead of the unpacker.
type reader struct {
	plain, full, free chan []byte // decompressed; digested, too; to be filled

	err      error // valid once full is closed
	digester digest.Digester
	rest     []byte
	buf      []byte
	n        int64 // bytes read by the goroutine; valid once full is closed
	quit     chan struct{}
}

const (
	aheadBuffers = 8
	aheadSize    = 256 << 10
)

func newReader(plain io.Reader, o childOptions) *reader {
	r := &reader{digester: digest.SHA256.Digester(), quit: make(chan struct{})}
	r.plain, r.full, r.free = make(chan []byte, aheadBuffers), make(chan []byte, aheadBuffers), make(chan []byte, aheadBuffers)
	for range aheadBuffers {
		r.free <- make([]byte, aheadSize)
	}
	go r.run(plain, o)
	go r.digest()
	return r
}

func (r *reader) digest() {
	defer close(r.full)
	for b := range r.plain {
		r.digester.Hash().Write(b)
		r.full <- b
	}
}

func (r *reader) run(plain io.Reader, o childOptions) {
	defer close(r.plain)
	for {
		var b []byte
		select {
		case b = <-r.free:
		case <-r.quit:
			return
		}
		n, err := fill(plain, b[:aheadSize])
		r.n += int64(n)
		if n > 0 {
			r.plain <- b[:n]
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			r.err = fmt.Errorf("read layer: %w", err)
			return
		}
		if r.err = tooLarge(r.n, o); r.err != nil {
			return
		}
	}
}

// fill is io.ReadFull, but that the stream's own io.ErrUnexpectedEOF, of one that is cut off, stays what it is.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	return n, err
}

// tooLarge refuses what the blob has grown to.
func tooLarge(n int64, o childOptions) error {
	b := o.Budget
	switch {
	case b.Size > 0 && n > b.Size+b.Size/4+FreeRatio:
		return archive.OverBudget("it is larger than %d bytes", b.Size)
	case b.Ratio > 0 && n > FreeRatio && n/b.Ratio > o.BlobSize:
		return archive.OverBudget("it is more than %d times as large as its compressed form", b.Ratio)
	}
	return nil
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.buf != nil {
			r.free <- r.buf[:aheadSize]
			r.buf = nil
		}
		b, ok := <-r.full
		if !ok {
			if r.err != nil {
				return 0, r.err
			}
			return 0, io.EOF
		}
		r.buf, r.rest = b, b
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *reader) sum() digest.Digest { return r.digester.Digest() }

func (r *reader) stop() { close(r.quit) }
