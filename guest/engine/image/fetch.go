package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fetchBlob downloads one blob. What broke off is taken up again where it was, as long as that gets it further; bytes that
// turn out wrong are dropped and fetched anew, once. What was downloaded when it cannot go on stays for the next pull (see
// keepForRetry), wrong bytes never do.
func (s *Store) fetchBlob(ctx context.Context, from remotes.Fetcher, desc ocispec.Descriptor) error {
	ref := remotes.MakeRefKey(ctx, desc)
	var anew bool
	var offset int64
	for idle := 0; ; {
		// Not asked first whether the blob is there: only opening a writer puts an existing one under the lease.
		err := remotes.Fetch(ctx, s.content, from, desc)
		switch {
		case err == nil, errdefs.IsAlreadyExists(err):
			return nil
		case ctx.Err() == nil && errors.Is(err, io.ErrUnexpectedEOF):
			at, statusErr := s.content.Status(ctx, ref)
			if idle++; statusErr == nil && at.Offset > offset {
				idle, offset = 0, at.Offset
			}
			if idle == s.patience.tries {
				if !images.IsLayerType(desc.MediaType) { // too small to be worth it
					s.dropPartial(ctx, ref)
				}
				return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("download of %s broke off at %d of %d bytes: %s",
					desc.Digest, offset, desc.Size, innermost(err)))
			}
			if err := pause(ctx, s.patience.first<<idle); err != nil {
				return err
			}
			continue
		case errors.Is(err, errdefs.ErrUnavailable), errors.Is(err, errdefs.ErrResourceExhausted):
			return err
		}
		s.dropPartial(ctx, ref)
		if anew || ctx.Err() != nil || !errdefs.IsFailedPrecondition(err) {
			return digestError(desc, err)
		}
		anew, offset = true, 0
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Store) dropPartial(ctx context.Context, ref string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if err := s.content.Abort(ctx, ref); err != nil && !errdefs.IsNotFound(err) {
		s.log.Warn("drop partial download", "error", err)
	}
}

// retryLabel marks the leases that keep what a pull had when its registry failed.
const retryLabel = "naru/retry"

// retryTime is how long they do.
const retryTime = time.Hour

func retryLease(root digest.Digest) leases.Lease { return leases.Lease{ID: "retry-" + root.String()} }

// keepForRetry keeps the verified and the partial blobs under the context's lease for a while, when it was the registry that
// failed: the next pull of the same manifest goes on from there.
func (s *Store) keepForRetry(ctx context.Context, root digest.Digest, why error) {
	if !errors.Is(why, errdefs.ErrUnavailable) && !errors.Is(why, errdefs.ErrResourceExhausted) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	id, _ := leases.FromContext(ctx)
	have, err := s.leases.ListResources(ctx, leases.Lease{ID: id})
	if err != nil {
		return // it would only have saved time
	}
	l, err := s.leases.Create(ctx, leases.WithID(retryLease(root).ID), leases.WithExpiration(retryTime), leases.WithLabel(retryLabel, "pull"))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		s.log.Warn("keep a download for the next pull", "error", err)
		return
	}
	if err != nil {
		l = retryLease(root)
	}
	for _, r := range have {
		if err := s.leases.AddResource(ctx, l, r); err != nil {
			s.log.Warn("keep a download for the next pull", "error", err)
			return
		}
	}
}

// dropRetries gives up what failed pulls have kept, all of it or that of one manifest.
func (s *Store) dropRetries(ctx context.Context, root digest.Digest) {
	ctx = s.context(ctx)
	list := []leases.Lease{retryLease(root)}
	if root == "" {
		var err error
		if list, err = s.leases.List(ctx); err != nil {
			return
		}
	}
	for _, l := range list {
		if root == "" && l.Labels[retryLabel] == "" {
			continue
		}
		if err := s.leases.Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
			s.log.Warn("drop the download of a failed pull", "error", err)
		}
	}
}
