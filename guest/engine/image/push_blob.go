package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// blobPusher uploads blobs and manifests itself, and tells containerd then that each is there already: a registry that fails
// in the middle of one is tried again with that one alone. It is deliberately no content.Ingester: containerd then asks it
// through Push.
type blobPusher struct {
	to       remotes.Pusher
	tracker  docker.StatusTracker
	content  content.Provider
	patience patience
	p        *layerProgress
}

func (b blobPusher) Push(ctx context.Context, desc ocispec.Descriptor) (content.Writer, error) {
	for try := 1; ; try++ {
		err := b.once(ctx, desc)
		if err == nil {
			return nil, fmt.Errorf("%s: %w", desc.Digest, errdefs.ErrAlreadyExists)
		}
		wait, again := b.patience.again(ctx, try, err)
		if !again {
			return nil, err
		}
		b.p.retrying(desc, wait)
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// again tells whether and when an upload that has failed is to be begun anew. Questions to the registry have been repeated already.
func (p patience) again(ctx context.Context, try int, err error) (time.Duration, bool) {
	wait := p.first<<(try-1) + rand.N(p.first)
	var status *statusError
	var op *net.OpError
	switch {
	case ctx.Err() != nil, try >= p.tries:
		return 0, false
	case errors.As(err, &status):
		return max(wait, status.wait), status.method == "PUT" && status.wait <= p.most
	}
	broken := errors.As(err, &op) && op.Op != "dial" || errors.Is(err, io.ErrClosedPipe)
	return wait, broken || transient(ctx, err)
}

// once uploads a blob, unless the registry has it or takes it over from another repository.
func (b blobPusher) once(ctx context.Context, desc ocispec.Descriptor) error {
	w, err := b.to.Push(ctx, desc)
	if errdefs.IsAlreadyExists(err) {
		b.p.pushed(desc, b.how(ctx, desc))
		return nil
	}
	if err != nil {
		return err
	}
	w = &pushWriter{Writer: w, p: b.p, desc: desc}
	defer w.Close()
	from, err := b.content.ReaderAt(ctx, desc)
	if err != nil {
		return err
	}
	defer from.Close()
	err = content.Copy(ctx, w, io.NewSectionReader(from, 0, desc.Size), desc.Size, desc.Digest)
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// how are Docker's words for how a blob got there without an upload.
func (b blobPusher) how(ctx context.Context, desc ocispec.Descriptor) string {
	status, err := b.tracker.GetStatus(remotes.MakeRefKey(ctx, desc))
	if _, repo, ok := strings.Cut(status.MountedFrom, "/"); err == nil && ok {
		return mountedFrom + repo
	}
	return "Layer already exists"
}

// mountedFrom begins the line of a layer that the registry has taken over from another repository.
const mountedFrom = "Mounted from "

type pushWriter struct {
	content.Writer
	p    *layerProgress
	desc ocispec.Descriptor
	n    int64
}

func (w *pushWriter) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	w.n += int64(n)
	w.p.bytes(w.desc, "Pushing", w.n)
	return n, err
}

// Truncate begins anew after a failure of the connection.
func (w *pushWriter) Truncate(size int64) error {
	w.n = size
	return w.Writer.Truncate(size)
}

func (w *pushWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	err := w.Writer.Commit(ctx, size, expected, opts...)
	switch {
	case err == nil:
		w.p.pushed(w.desc, "Pushed")
	case errdefs.IsAlreadyExists(err):
		w.p.pushed(w.desc, "Layer already exists")
	}
	return err
}

// retrying tells that a layer is begun anew, in Docker's words.
func (p *layerProgress) retrying(desc ocispec.Descriptor, wait time.Duration) {
	seconds := int(wait.Round(time.Second) / time.Second)
	unit := "seconds"
	if seconds == 1 {
		unit = "second"
	}
	p.update(desc, Message{Status: fmt.Sprintf("Retrying in %d %s", seconds, unit)}, func(l *layerState) bool { return !l.complete })
}
