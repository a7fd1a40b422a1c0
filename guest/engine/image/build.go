package image

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// build makes an image of one layer, whose blob is in the content store already, and of a config whose RootFS it
// fills in. The context carries a lease; the result has no name yet.
func (s *Store) build(ctx context.Context, layer ocispec.Descriptor, config dockerspec.DockerOCIImage, p *layerProgress) (tree, error) {
	diffID, err := s.applyOn(ctx, "", layer, p)
	if err != nil {
		return tree{}, fmt.Errorf("unpack layer: %w", err)
	}
	config.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}}
	return s.writeTree(ctx, []ocispec.Descriptor{layer}, config)
}

// writeTree stores the config and manifest of an image whose layers are stored and unpacked.
func (s *Store) writeTree(ctx context.Context, layers []ocispec.Descriptor, config dockerspec.DockerOCIImage) (tree, error) {
	t := tree{config: config.Image}
	t.config.RootFS = config.RootFS
	labels := map[string]string{}
	if len(config.RootFS.DiffIDs) > 0 {
		chain := identity.ChainID(slices.Clone(config.RootFS.DiffIDs))
		labels["containerd.io/gc.ref.snapshot."+snapshotterName] = chain.String()
	}
	configDesc, err := s.writeJSON(ctx, ocispec.MediaTypeImageConfig, config, labels)
	if err != nil {
		return t, err
	}
	t.manifest = ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    configDesc,
		Layers:    layers,
	}
	labels = map[string]string{"containerd.io/gc.ref.content.config": configDesc.Digest.String()}
	for i, l := range layers {
		labels[fmt.Sprintf("containerd.io/gc.ref.content.l.%d", i)] = l.Digest.String()
	}
	t.desc, err = s.writeJSON(ctx, ocispec.MediaTypeImageManifest, t.manifest, labels)
	return t, err
}

// applyOn unpacks a layer on the snapshot of those below, "" for none, and returns its diff ID, which is known only afterwards.
func (s *Store) applyOn(ctx context.Context, below string, layer ocispec.Descriptor, p *layerProgress) (_ digest.Digest, err error) {
	key := fmt.Sprintf(snapshots.UnpackKeyFormat, rand.Text(), "base")
	mounts, err := s.snaps.Prepare(ctx, key, below)
	if err != nil {
		return "", err
	}
	committed := false
	defer func() {
		if committed {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
		s.useReserve()
		if removeErr := s.snaps.Remove(ctx, key); removeErr != nil {
			s.log.Warn("remove unfinished snapshot", "error", removeErr)
		}
	}()
	a := applier{s, p}
	applied, err := a.Apply(ctx, layer, mounts, diff.WithSyncFs(true), diff.WithProgress(p.extracting))
	if err != nil {
		return "", err
	}
	chain := applied.Digest
	if below != "" {
		chain = identity.ChainID([]digest.Digest{digest.Digest(below), applied.Digest})
	}
	err = s.snaps.Commit(ctx, chain.String(), key)
	if errdefs.IsAlreadyExists(err) { // the same files were imported before
		return applied.Digest, nil
	}
	committed = err == nil
	return applied.Digest, err
}

func (s *Store) writeJSON(ctx context.Context, mediaType string, v any, labels map[string]string) (ocispec.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return s.writeBlob(ctx, mediaType, data, labels)
}

// writeBlob puts a small blob into the content store, with labels for the collector.
func (s *Store) writeBlob(ctx context.Context, mediaType string, data []byte, labels map[string]string) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	err := content.WriteBlob(ctx, s.content, "build-"+rand.Text(), bytes.NewReader(data), desc, content.WithLabels(labels))
	if err != nil {
		return desc, fmt.Errorf("write blob: %w", err)
	}
	if len(labels) > 0 { // an existing blob keeps its own
		fields := []string{}
		for k := range labels {
			fields = append(fields, "labels."+k)
		}
		if _, err := s.content.Update(ctx, content.Info{Digest: desc.Digest, Labels: labels}, fields...); err != nil {
			return desc, fmt.Errorf("label blob: %w", err)
		}
	}
	return desc, nil
}
