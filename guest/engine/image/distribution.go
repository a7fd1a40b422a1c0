package image

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Distribution tells what a registry has under a name, without pulling it: the descriptor and the platforms.
func (s *Store) Distribution(ctx context.Context, name string, auth registry.AuthConfig) (*registry.DistributionInspect, error) {
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	resolver, closeIdle, err := s.newResolver(ctx, reference.Domain(named), auth)
	if err != nil {
		return nil, err
	}
	defer closeIdle()
	_, desc, err := resolver.Resolve(ctx, named.String())
	if err != nil {
		return nil, registryError(ctx, "pull", named, unknownManifest(named, err))
	}
	fetcher, err := resolver.Fetcher(ctx, named.String())
	if err != nil {
		return nil, registryError(ctx, "pull", named, err)
	}
	found, err := platformsOf(ctx, fetcher, desc)
	if err != nil {
		return nil, registryError(ctx, "pull", named, err)
	}
	return &registry.DistributionInspect{
		Descriptor: ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}, Platforms: found,
	}, nil
}

// platformsOf reads the platforms from an index, or from the one image's config.
func platformsOf(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor) ([]ocispec.Platform, error) {
	found := []ocispec.Platform{}
	if images.IsIndexType(desc.MediaType) {
		var index ocispec.Index
		if err := fetchJSON(ctx, fetcher, desc, &index); err != nil {
			return nil, err
		}
		for _, m := range index.Manifests {
			if m.Platform != nil {
				found = append(found, *m.Platform)
			}
		}
		return found, nil
	}
	if !images.IsManifestType(desc.MediaType) {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unsupported manifest media type %q", desc.MediaType))
	}
	var manifest ocispec.Manifest
	if err := fetchJSON(ctx, fetcher, desc, &manifest); err != nil {
		return nil, err
	}
	var platform ocispec.Platform
	if err := fetchJSON(ctx, fetcher, manifest.Config, &platform); err != nil {
		return nil, err
	}
	if platform.OS != "" || platform.Architecture != "" {
		found = append(found, platform)
	}
	return found, nil
}

// fetchJSON reads a small document of a registry whose bytes must have the descriptor's digest.
func fetchJSON(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor, v any) error {
	if desc.Size > maxJSON {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is too large: %d bytes", desc.Digest, desc.Size))
	}
	if err := desc.Digest.Validate(); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	desc.URLs = nil
	rc, err := fetcher.Fetch(ctx, desc)
	if err != nil {
		return err
	}
	defer rc.Close()
	data, err := io.ReadAll(io.LimitReader(rc, maxJSON+1))
	if err != nil {
		return err
	}
	if desc.Digest.Algorithm().FromBytes(data) != desc.Digest {
		return errdefs.ErrFailedPrecondition.WithMessage("manifest verification failed for digest " + desc.Digest.String())
	}
	if err := json.Unmarshal(data, v); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is no valid document: %s", desc.Digest, err))
	}
	return nil
}
