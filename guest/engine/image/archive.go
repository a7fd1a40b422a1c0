package image

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"

	"naru/guest/engine/archive"
)

var (
	magicXZ    = []byte{0xfd, '7', 'z', 'X', 'Z', 0}
	magicBzip2 = []byte("BZh")
)

// plain returns a reader of what r holds uncompressed. Close ends the decompressor, not r.
func plain(r io.Reader) (io.ReadCloser, error) {
	d, err := archive.Decompress(r)
	if err != nil {
		return nil, archiveError(err)
	}
	return d, nil
}

func startsWith(r *bufio.Reader, magic []byte) bool {
	head, err := r.Peek(len(magic))
	return err == nil && bytes.Equal(head, magic)
}

// archiveError words what is wrong with an archive that a client sent.
func archiveError(err error) error {
	if full := storeError(err); full != err || errdefs.IsInvalidArgument(err) {
		return full
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	text := err.Error()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		text = "unexpected EOF"
	}
	return errdefs.ErrInvalidArgument.WithMessage("invalid archive: " + text)
}

// ingest is a content store whose unfinished blobs have names of their own, so that two loads of archives with
// equal file names do not wait for, or continue, each other's.
type ingest struct {
	content.Store
	prefix string
}

func (i ingest) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	o.Ref = i.prefix + o.Ref
	return i.Store.Writer(ctx, func(w *content.WriterOpts) error {
		*w = o
		return nil
	})
}

// contextReader ends the reading of a request whose client went away.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
