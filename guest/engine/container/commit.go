package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"naru/guest/engine/archive"
	"naru/guest/engine/image"
)

// CommitOptions say what image is made of a container.
type CommitOptions struct {
	Name            reference.Named // of the image; nil for none
	Author, Comment string
	Changes         []string          // Dockerfile instructions
	Config          *container.Config // instead of the container's, which fills in what it leaves open; nil for none
	NoPause         bool              // let the container go on meanwhile
}

// Commit makes an image of a container: its image, and a layer of what is different in its own files. It returns the ID.
func (m *Manager) Commit(ctx context.Context, ref string, o CommitOptions) (string, error) {
	c, err := m.find(ref)
	if err != nil {
		return "", err
	}
	if err := c.refuseDead("commit"); err != nil {
		return "", err
	}
	config, err := c.commitConfig(o)
	if err != nil {
		return "", err
	}
	img, err := m.Images.Commit(ctx, image.CommitOptions{
		Parent: c.ImageID, Name: o.Name, Author: o.Author, Comment: o.Comment, Config: config,
		CreatedBy: strings.Join(c.Config.Cmd, " "),
		Layer: func(ctx context.Context, w io.Writer) error {
			write := func() error { return m.writeLayer(ctx, c, w) }
			if o.NoPause {
				return write()
			}
			return m.pausedWhile(ctx, c, write) // only while its files are read
		},
	})
	if err != nil {
		return "", fmt.Errorf("commit container %s: %w", c.ID[:12], err)
	}
	name := ""
	if o.Name != nil {
		name = reference.FamiliarString(o.Name)
	}
	m.emit(c, events.ActionCommit, "comment", o.Comment, "imageID", img.ID, "imageRef", name)
	return img.ID, nil
}

// commitConfig is the config of the image: the one asked for, with the changes, and the container's where it is silent.
func (c *Container) commitConfig(o CommitOptions) (dockerspec.DockerOCIImageConfig, error) {
	own := imageConfig(c.Config)
	wished := own
	if o.Config != nil {
		wished = imageConfig(o.Config)
	}
	if err := image.ApplyChanges(&wished, o.Changes); err != nil {
		return wished, err
	}
	full := containerConfig(wished)
	mergeImage(full, &own)
	return imageConfig(full), nil
}

// imageConfig is the part of a container's config that images have. Nothing of it is shared with c.
func imageConfig(c *container.Config) dockerspec.DockerOCIImageConfig {
	out := dockerspec.DockerOCIImageConfig{
		ImageConfig: ocispec.ImageConfig{
			User: c.User, Env: slices.Clone(c.Env), Entrypoint: slices.Clone(c.Entrypoint), Cmd: slices.Clone(c.Cmd),
			Volumes: maps.Clone(c.Volumes), WorkingDir: c.WorkingDir, Labels: maps.Clone(c.Labels), StopSignal: c.StopSignal,
		},
		DockerOCIImageConfigExt: dockerspec.DockerOCIImageConfigExt{
			Healthcheck: c.Healthcheck, OnBuild: slices.Clone(c.OnBuild), Shell: slices.Clone(c.Shell),
		},
	}
	for port := range c.ExposedPorts {
		if out.ExposedPorts == nil {
			out.ExposedPorts = map[string]struct{}{}
		}
		out.ExposedPorts[port.String()] = struct{}{}
	}
	return out
}

// containerConfig is imageConfig the other way, but for the ports: mergeImage adds them.
func containerConfig(c dockerspec.DockerOCIImageConfig) *container.Config {
	out := &container.Config{OnBuild: c.OnBuild}
	// An entrypoint that is meant to be none must not be taken for one that is left open.
	out.Entrypoint, out.Cmd = c.Entrypoint, c.Cmd
	c.Entrypoint, c.Cmd = nil, nil
	mergeImage(out, &c)
	return out
}

// writeLayer writes what is different in the container's own files; nothing when nothing is.
func (m *Manager) writeLayer(ctx context.Context, c *Container, w io.Writer) error {
	o, err := m.overlayOf(ctx, c)
	if err != nil {
		return err
	}
	defer closeOverlay(o)
	o.All = true
	changes, err := o.Changes(ctx)
	if err != nil || len(changes) == 0 {
		return err
	}
	slices.SortFunc(changes, func(a, b archive.Change) int { return strings.Compare(a.Path, b.Path) })
	out := bufio.NewWriterSize(w, outBuffer)
	p := archive.NewPacker(ctx, out, nil)
	if err := p.Layer(o.Upper, changes); err != nil {
		return err
	}
	return errors.Join(p.Close(), out.Flush())
}
