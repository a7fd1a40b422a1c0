package image

import (
	"context"
	"sort"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/storage"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// List returns all images that match, newest first.
func (s *Store) List(ctx context.Context, o ListOptions) ([]image.Summary, error) {
	keep, err := s.filter(o)
	if err != nil {
		return nil, err
	}
	out := []image.Summary{}
	for _, e := range s.index.shown() {
		img := e.img
		if !keep(img) {
			continue
		}
		tags, digests := img.RepoTags, img.RepoDigests
		if len(o.Reference) > 0 {
			tags, digests = matching(tags, o.Reference), matching(digests, o.Reference)
		}
		summary := image.Summary{
			ID:          img.ID,
			RepoTags:    tags,
			RepoDigests: digests,
			Created:     unixTime(img.Created),
			Size:        img.Size,
			SharedSize:  -1,
			Containers:  -1,
			Labels:      img.Config.Labels,
		}
		if o.Uses {
			summary.Containers = int64(len(s.inUse(img.ID)))
		}
		if o.Manifests {
			if summary.Manifests, err = s.manifests(ctx, e); err != nil {
				return nil, err
			}
		}
		out = append(out, summary)
	}
	if o.Shared {
		if err := s.fillShared(ctx, out); err != nil {
			return nil, err
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Created != out[j].Created {
			return out[i].Created > out[j].Created
		}
		return out[i].ID < out[j].ID
	})
	return out, nil
}

func unixTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func (s *Store) filter(o ListOptions) (func(*Image) bool, error) {
	var before, since time.Time
	for _, f := range []struct {
		ref string
		t   *time.Time
	}{{o.Before, &before}, {o.Since, &since}} {
		if f.ref == "" {
			continue
		}
		e, _, err := s.find(f.ref)
		if err != nil {
			return nil, err
		}
		*f.t = e.img.Created
	}
	return func(img *Image) bool {
		return (o.Before == "" || img.Created.Before(before)) &&
			(o.Since == "" || img.Created.After(since)) &&
			(o.Until.IsZero() || img.Created.Before(o.Until)) &&
			(o.Dangling == nil || *o.Dangling == (len(img.RepoTags) == 0)) &&
			hasLabels(img.Config.Labels, o.Labels) &&
			(len(o.Reference) == 0 || len(matching(img.RepoTags, o.Reference))+len(matching(img.RepoDigests, o.Reference)) > 0)
	}, nil
}

func hasLabels(have map[string]string, want []string) bool {
	for _, w := range want {
		key, value, exact := strings.Cut(w, "=")
		v, ok := have[key]
		if !ok || exact && v != value {
			return false
		}
	}
	return true
}

// matching returns the names that fit any pattern: "debian", "debian:1*", "*/x:latest".
func matching(names, patterns []string) []string {
	out := []string{}
	for _, name := range names {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			continue
		}
		for _, pattern := range patterns {
			if ok, err := reference.FamiliarMatch(pattern, named); ok && err == nil {
				out = append(out, name)
				break
			}
		}
	}
	return out
}

// Inspect describes one image. One of another platform than the one asked for is not found.
func (s *Store) Inspect(ctx context.Context, ref string, o InspectOptions) (*image.InspectResponse, error) {
	found, err := s.Resolve(ctx, ref)
	if err == nil {
		err = provides(ref, found, o.Platform)
	}
	if err != nil {
		return nil, err
	}
	e := s.index.entry(found.ID)
	if e == nil { // removed since
		return nil, errdefs.ErrNotFound.WithMessage("No such image: " + ref)
	}
	var manifests []image.ManifestSummary
	if o.Manifests {
		if manifests, err = s.manifests(ctx, e); err != nil {
			return nil, err
		}
	}
	img := e.img
	layers := []string{}
	for _, d := range img.DiffIDs {
		layers = append(layers, d.String())
	}
	created := ""
	if !img.Created.IsZero() {
		created = img.Created.UTC().Format(time.RFC3339Nano)
	}
	config := img.Config
	return &image.InspectResponse{
		ID:           img.ID,
		RepoTags:     img.RepoTags,
		RepoDigests:  img.RepoDigests,
		Comment:      img.Comment,
		Created:      created,
		Author:       img.Author,
		Config:       &config,
		Architecture: img.Platform.Architecture,
		Variant:      img.Platform.Variant,
		Os:           img.Platform.OS,
		OsVersion:    img.Platform.OSVersion,
		Size:         img.Size,
		GraphDriver:  &storage.DriverData{Name: "overlay2"}, // as containers have it
		RootFS:       image.RootFS{Type: "layers", Layers: layers},
		Metadata:     image.Metadata{LastTagTime: e.updated},
		Manifests:    manifests,
	}, nil
}

// History tells how an image was made, newest step first. Sizes are bytes, unpacked. An image of another platform than wish is not
// found.
func (s *Store) History(ctx context.Context, ref string, wish *ocispec.Platform) ([]image.HistoryResponseItem, error) {
	img, err := s.Resolve(ctx, ref)
	if err == nil {
		err = provides(ref, img, wish)
	}
	if err != nil {
		return nil, err
	}
	sizes, err := s.layerSizes(s.context(ctx), img.DiffIDs)
	if err != nil {
		return nil, err
	}
	out := []image.HistoryResponseItem{}
	for _, h := range img.History {
		item := image.HistoryResponseItem{ID: "<missing>", Comment: h.Comment, CreatedBy: h.CreatedBy}
		if h.Created != nil {
			item.Created = unixTime(*h.Created)
		}
		if !h.EmptyLayer && len(sizes) > 0 {
			item.Size, sizes = sizes[0], sizes[1:]
		}
		out = append([]image.HistoryResponseItem{item}, out...)
	}
	if len(out) > 0 {
		out[0].ID, out[0].Tags = img.ID, img.RepoTags
	}
	return out, nil
}
