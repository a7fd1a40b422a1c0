package image

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxNesting is how many indexes inside indexes are followed.
const maxNesting = 3

// schema1 begins the media types of the oldest manifests, whose digests name nothing that could be checked.
const schema1 = "application/vnd.docker.distribution.manifest.v1+"

// Pull fetches and unpacks an image, and names it. An error before the first Progress call carries the class for an
// HTTP status. When ctx ends early nothing is left behind once the collector has run.
func (s *Store) Pull(ctx context.Context, o PullOptions) (*Image, error) {
	named, err := reference.ParseDockerRef(o.Name)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	p := puller{s: s, named: named, o: o, progress: newLayerProgress(o.Progress)}
	if err := p.run(ctx); err != nil {
		return nil, registryError(ctx, "pull", named, err)
	}
	return s.Resolve(ctx, named.String())
}

// puller is one pull.
type puller struct {
	s        *Store
	named    reference.Named
	o        PullOptions
	progress *layerProgress
	fetcher  remotes.Fetcher
	root     ocispec.Descriptor // what the registry calls by the name: a manifest or an index
}

func (p *puller) run(ctx context.Context) error {
	resolver, closeIdle, err := p.s.newResolver(ctx, reference.Domain(p.named), p.o.Auth)
	if err != nil {
		return err
	}
	defer closeIdle()
	_, root, err := resolver.Resolve(ctx, p.named.String())
	if err != nil {
		return unknownManifest(p.named, err)
	}
	p.root = root
	if p.upToDate() {
		p.begin()
		p.end("Image is up to date for ")
		return nil
	}
	if p.fetcher, err = resolver.Fetcher(ctx, p.named.String()); err != nil {
		return err
	}
	ctx, done, err := p.s.leased(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := p.get(ctx); err != nil {
		p.s.keepForRetry(ctx, p.root.Digest, err)
		return err
	}
	p.s.dropRetries(ctx, p.root.Digest)
	p.end("Downloaded newer image for ")
	return nil
}

// get fetches, unpacks and names.
func (p *puller) get(ctx context.Context) error {
	t, err := p.manifest(ctx)
	if err != nil {
		return err
	}
	p.begin()
	p.announce(ctx, t)
	if err := p.s.materialise(ctx, t, p.fetcher, p.progress); err != nil {
		return err
	}
	for _, layer := range t.manifest.Layers {
		p.progress.complete(layer) // its snapshot was there, only the blob was missing
	}
	r, err := p.s.newRecord(ctx, p.named.String(), t)
	if err != nil {
		return err
	}
	r.pulled = p.canonical()
	return p.s.put(ctx, r)
}

// canonical is name@digest of what was pulled.
func (p *puller) canonical() string {
	c, err := reference.WithDigest(reference.TrimNamed(p.named), p.root.Digest)
	if err != nil {
		return ""
	}
	return c.String()
}

// upToDate tells whether the name already stands for what the registry has, on the right platform.
func (p *puller) upToDate() bool {
	r, ok := p.s.index.record(p.named.String())
	e := p.s.index.entry(r.id())
	return ok && e != nil && r.pulled == p.canonical() && matcher(p.o.Platform).Match(e.img.Platform)
}

// manifest fetches down to the one manifest to use, and its config.
func (p *puller) manifest(ctx context.Context) (tree, error) {
	desc := p.root
	for depth := 0; images.IsIndexType(desc.MediaType); depth++ {
		if depth == maxNesting {
			return tree{}, errdefs.ErrInvalidArgument.WithMessage("the image's index is nested too deep")
		}
		var index ocispec.Index
		if err := p.fetch(ctx, desc); err != nil {
			return tree{}, err
		}
		if err := p.s.readJSON(ctx, desc, &index); err != nil {
			return tree{}, fmt.Errorf("read index: %w", err)
		}
		var err error
		if desc, err = choose(index.Manifests, p.o.Platform); err != nil {
			return tree{}, err
		}
	}
	if strings.HasPrefix(desc.MediaType, schema1) {
		return tree{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("[DEPRECATION NOTICE] Docker Image Format v1 and Docker "+
			"Image manifest version 2, schema 1 support has been removed. Suggest the author of %s to upgrade the image to the OCI "+
			"Format or Docker Image manifest v2, schema 2. More information at https://docs.docker.com/go/deprecated-image-specs/", p.named))
	}
	if !images.IsManifestType(desc.MediaType) {
		return tree{}, errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("unsupported manifest media type %q", desc.MediaType))
	}
	if err := p.fetch(ctx, desc); err != nil {
		return tree{}, err
	}
	t, err := p.s.readTree(ctx, desc)
	if err != nil {
		return t, err
	}
	if err := p.fetch(ctx, t.manifest.Config); err != nil {
		return t, err
	}
	if err := p.s.readConfig(ctx, &t); err != nil {
		return t, err
	}
	return t, p.checkPlatform(t)
}

// checkPlatform refuses an image of one platform when another was asked for. Without a wish any image is taken, as
// Docker does.
func (p *puller) checkPlatform(t tree) error {
	if p.o.Platform == nil || matcher(p.o.Platform).Match(platforms.Normalize(t.config.Platform)) {
		return nil
	}
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf(
		"image with reference %s was found but its platform (%s) does not match the specified platform (%s)",
		reference.FamiliarString(p.named), platforms.Format(t.config.Platform), platforms.Format(*p.o.Platform)))
}

func (p *puller) fetch(ctx context.Context, desc ocispec.Descriptor) error {
	_, err := p.s.fetchHandler(p.fetcher, nil)(ctx, desc)
	return err
}

func (p *puller) begin() {
	id := ""
	switch n := p.named.(type) {
	case reference.Canonical:
		id = n.Digest().String()
	case reference.Tagged:
		id = n.Tag()
	}
	p.progress.message(Message{ID: id, Status: "Pulling from " + reference.Path(p.named)})
}

func (p *puller) announce(ctx context.Context, t tree) {
	if p.progress == nil {
		return
	}
	chain := identity.ChainIDs(append([]digest.Digest(nil), t.config.RootFS.DiffIDs...))
	for i, layer := range t.manifest.Layers {
		_, blobErr := p.s.content.Info(ctx, layer.Digest)
		_, snapErr := p.s.snaps.Stat(ctx, chain[i].String())
		p.progress.announce(layer, blobErr == nil && snapErr == nil)
	}
}

func (p *puller) end(status string) {
	name := reference.FamiliarString(p.named)
	p.progress.message(Message{Status: "Digest: " + p.root.Digest.String()})
	p.progress.message(Message{Status: "Status: " + status + name})
	p.s.emit(events.ActionPull, name, map[string]string{"name": reference.FamiliarName(p.named)})
}

// matcher says which platforms will do. A wish for arm64 is taken strictly: Apple's and many servers' CPUs do not
// run the 32-bit images that would count as compatible.
func matcher(wish *ocispec.Platform) platforms.MatchComparer {
	p := platforms.DefaultSpec()
	if wish != nil {
		p = platforms.Normalize(*wish)
	}
	if p.Architecture == "arm64" {
		return platforms.OnlyStrict(p)
	}
	return platforms.Only(p)
}

// choose picks the manifest for a platform out of an index.
func choose(list []ocispec.Descriptor, wish *ocispec.Platform) (ocispec.Descriptor, error) {
	m := matcher(wish)
	var fit []ocispec.Descriptor
	for _, d := range list {
		if images.IsManifestType(d.MediaType) || images.IsIndexType(d.MediaType) {
			if d.Platform == nil || m.Match(*d.Platform) {
				fit = append(fit, d)
			}
		}
	}
	if len(fit) == 0 {
		p := platforms.DefaultSpec()
		if wish != nil {
			p = *wish
		}
		return ocispec.Descriptor{}, errdefs.ErrNotFound.WithMessage(fmt.Sprintf(
			"no matching manifest for %s in the manifest list entries", platforms.Format(p)))
	}
	sort.SliceStable(fit, func(i, j int) bool {
		if fit[i].Platform == nil || fit[j].Platform == nil {
			return fit[i].Platform != nil
		}
		return m.Less(*fit[i].Platform, *fit[j].Platform)
	})
	return fit[0], nil
}
