package image

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// pushesAtOnce is how many blobs of one image are sent at once; Docker's default.
const pushesAtOnce = 5

// PushOptions says what to push.
type PushOptions struct {
	// Name is name:tag or name@digest. A bare name means all tags of that repository.
	Name     string
	Platform *ocispec.Platform // nil: whatever the image has; another one than the image's is refused
	Auth     registry.AuthConfig
	Progress Progress // nil for none
}

// Pushed is one image that a registry now has by a tag.
type Pushed struct {
	Tag    string
	Digest string // of the manifest
	Size   int64  // of the manifest, in bytes
}

// Push sends an image, or all tags of a repository, to the registry that the name says. As in Docker the first message
// comes before the image is looked for. The image may be removed meanwhile: its content stays until the push is over.
func (s *Store) Push(ctx context.Context, o PushOptions) ([]Pushed, error) {
	named, err := reference.ParseNormalizedNamed(o.Name)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	p := pusher{s: s, o: o, progress: newLayerProgress(o.Progress)}
	p.progress.message(Message{Status: fmt.Sprintf("The push refers to repository [%s]", named.Name())})
	targets, err := s.pushTargets(named)
	if err != nil {
		return nil, err
	}
	ctx, done, err := s.leased(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var out []Pushed
	for _, target := range targets {
		pushed, err := p.push(ctx, target)
		if err != nil {
			return out, registryError(ctx, "push", target, err)
		}
		out = append(out, pushed)
	}
	return out, nil
}

// pushTargets are the names to push: the one given, or all tags of a repository, sorted.
func (s *Store) pushTargets(named reference.Named) ([]reference.Named, error) {
	if !reference.IsNameOnly(named) {
		return []reference.Named{named}, nil
	}
	var tags []reference.Named
	for _, r := range s.index.list() {
		if n := r.reference(); n != nil && n.Name() == named.Name() && !isDigest(r.name) {
			tags = append(tags, n)
		}
	}
	if len(tags) == 0 {
		return nil, noSuchTag(named)
	}
	sort.Slice(tags, func(i, j int) bool { return tags[i].String() < tags[j].String() })
	return tags, nil
}

func noSuchTag(named reference.Named) error {
	return errdefs.ErrNotFound.WithMessage("An image does not exist locally with the tag: " + reference.FamiliarName(named))
}

// pusher is one push.
type pusher struct {
	s        *Store
	o        PushOptions
	progress *layerProgress
}

func (p *pusher) push(ctx context.Context, named reference.Named) (Pushed, error) {
	var none Pushed
	e, _, err := p.s.find(named.String())
	if errdefs.IsNotFound(err) {
		return none, errdefs.ErrNotFound.WithMessage("tag does not exist: " + reference.FamiliarString(named))
	}
	if err != nil {
		return none, err
	}
	if err := provides(named.String(), e.img, p.o.Platform); err != nil {
		return none, err
	}
	target := e.target
	if err := p.s.keepTree(ctx, target); err != nil {
		return none, err
	}
	if err := p.send(ctx, named, target); err != nil {
		return none, err
	}
	p.s.emit(events.ActionPush, reference.FamiliarString(named), map[string]string{"name": reference.FamiliarName(named)})
	pushed := Pushed{Digest: target.Digest.String(), Size: target.Size}
	if tagged, ok := named.(reference.Tagged); ok {
		pushed.Tag = tagged.Tag()
		p.progress.message(Message{Status: fmt.Sprintf("%s: digest: %s size: %d", pushed.Tag, pushed.Digest, pushed.Size)})
	}
	return pushed, nil
}

// keepTree puts a manifest and all that hangs from it under the context's lease.
func (s *Store) keepTree(ctx context.Context, target ocispec.Descriptor) error {
	keep := func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return nil, s.keepBlob(ctx, desc.Digest)
	}
	return images.Walk(ctx, images.Handlers(images.HandlerFunc(keep), images.ChildrenHandler(s.content)), target)
}

// send uploads what the registry lacks, the manifest last.
func (p *pusher) send(ctx context.Context, named reference.Named, target ocispec.Descriptor) error {
	tracker := docker.NewInMemoryTracker()
	resolver, closeIdle, err := p.s.trackedResolver(ctx, reference.Domain(named), p.o.Auth, tracker)
	if err != nil {
		return err
	}
	defer closeIdle()
	// With tag and digest only the tag of this one manifest is set.
	exact := named
	if _, ok := named.(reference.Digested); !ok {
		if exact, err = reference.WithDigest(named, target.Digest); err != nil {
			return err
		}
	}
	to, err := resolver.Pusher(ctx, exact.String())
	if err != nil {
		return err
	}
	announce := func(h images.Handler) images.Handler {
		return images.Handlers(images.HandlerFunc(func(_ context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			p.progress.announcePush(desc)
			return nil, nil
		}), h)
	}
	blobs := blobPusher{to: to, tracker: tracker, content: p.s.content, patience: p.s.patience, p: p.progress}
	if err := remotes.PushContent(ctx, blobs, target, p.s.content, semaphore.NewWeighted(pushesAtOnce), platforms.All, announce); err != nil {
		return err
	}
	p.s.rememberSource(ctx, named, target)
	return nil
}

// rememberSource notes of each layer that the registry has it in this repository: a push to another one mounts it from there.
func (s *Store) rememberSource(ctx context.Context, named reference.Named, target ocispec.Descriptor) {
	note, err := docker.AppendDistributionSourceLabel(s.content, named.String())
	if err == nil {
		layers := images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			if !images.IsLayerType(desc.MediaType) {
				return nil, nil
			}
			return note(ctx, desc)
		})
		err = images.Walk(ctx, images.Handlers(layers, images.ChildrenHandler(s.content)), target)
	}
	if err != nil { // the next push is slower, no more
		s.log.Debug("note where a layer was pushed to", "error", err)
	}
}

// announcePush starts the line of a layer that is to be pushed.
func (p *layerProgress) announcePush(desc ocispec.Descriptor) {
	if p == nil || !images.IsLayerType(desc.MediaType) {
		return
	}
	p.mu.Lock()
	_, known := p.layers[desc.Digest]
	if !known {
		p.layers[desc.Digest] = &layerState{}
	}
	p.mu.Unlock()
	if !known {
		p.send(Message{ID: shortID(desc.Digest), Status: "Preparing"})
	}
}

// pushed ends the line of a layer with Docker's words for how it got there.
func (p *layerProgress) pushed(desc ocispec.Descriptor, how string) {
	p.update(desc, Message{Status: how}, func(l *layerState) bool {
		was := l.complete
		l.complete, l.last = true, time.Time{}
		return !was
	})
}
