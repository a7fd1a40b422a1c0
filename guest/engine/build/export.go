package build

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/cache"
	cacheconfig "github.com/moby/buildkit/cache/config"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
)

// imageExporter writes an image's manifest, config and layers with BuildKit's, and gives the result to the image store.
type imageExporter struct {
	exporter.Exporter
	images Images
}

// Resolve normalises the names: without a tag they get :latest, twice is once.
func (e imageExporter) Resolve(ctx context.Context, id int, attrs map[string]string) (exporter.ExporterInstance, error) {
	names, err := imageNames(strings.Split(attrs[string(exptypes.OptKeyName)], ","))
	if err != nil {
		return nil, err
	}
	if attrs == nil {
		attrs = map[string]string{}
	}
	attrs[string(exptypes.OptKeyName)] = strings.Join(names, ",")
	instance, err := e.Exporter.Resolve(ctx, id, attrs)
	if err != nil {
		return nil, err
	}
	return exportInstance{instance, e.images, names, attrs[string(exptypes.OptKeyStore)] != "false", attrs[string(exptypes.OptKeyPush)] == "true"}, nil
}

func imageNames(list []string) ([]string, error) {
	var names []string
	for _, name := range list {
		if name == "" {
			continue
		}
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid tag %q: %s", name, err))
		}
		if _, ok := named.(reference.Digested); ok {
			return nil, errdefs.ErrInvalidArgument.WithMessage("build tag cannot contain a digest")
		}
		if full := reference.TagNameOnly(named).String(); !slices.Contains(names, full) {
			names = append(names, full)
		}
	}
	return names, nil
}

type exportInstance struct {
	exporter.ExporterInstance
	images Images
	names  []string
	store  bool
	push   bool
}

// Export writes the image, fetches what of its base was not needed until now, unpacks and names it.
func (e exportInstance) Export(ctx context.Context, src *exporter.Source, info exporter.ExportBuildInfo) (
	_ map[string]string, _ exporter.FinalizeFunc, ref exporter.DescriptorReference, err error) {
	out, finalize, ref, err := e.ExporterInstance.Export(ctx, src, info)
	if err != nil || !e.store {
		return out, finalize, ref, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ref.Release())
		}
	}()
	if err := e.fetchBases(ctx, src, info.SessionID); err != nil {
		return nil, nil, nil, err
	}
	img, err := e.images.AddBuilt(ctx, ref.Descriptor(), e.names)
	if err != nil {
		return nil, nil, nil, err
	}
	// Clients print one of the two as the image's ID, which is the config's digest. Only who pushes needs the manifest's.
	out[exptypes.ExporterImageConfigDigestKey] = img.ID
	if !e.push {
		out[exptypes.ExporterImageDigestKey] = img.ID
	}
	out[exptypes.ExporterImageNameKey] = strings.Join(e.names, ",")
	return out, finalize, ref, nil
}

// fetchBases brings the layers that no step had to look into: BuildKit leaves them at the registry.
func (e exportInstance) fetchBases(ctx context.Context, src *exporter.Source, sessionID string) error {
	refs := []cache.ImmutableRef{src.Ref}
	for _, ref := range src.Refs {
		refs = append(refs, ref)
	}
	for _, ref := range refs {
		if ref == nil {
			continue
		}
		remotes, err := ref.GetRemotes(ctx, false, cacheconfig.RefConfig{Compression: e.Config().Compression()}, false, session.NewGroup(sessionID))
		if err != nil {
			return err
		}
		if lazy, ok := remotes[0].Provider.(cache.Unlazier); ok {
			if err := lazy.Unlazy(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}
