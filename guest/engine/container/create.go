package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"naru/guest/engine/image"
)

// CreateOptions is a wish for a container.
type CreateOptions struct {
	Name       string // "" for any
	Config     *container.Config
	HostConfig *container.HostConfig
	Networking *network.NetworkingConfig
	Platform   *ocispec.Platform // nil: whatever the image has
}

// Create makes a container of an image that is there. It returns the ID, and warnings for the user.
func (m *Manager) Create(ctx context.Context, o CreateOptions) (string, []string, error) {
	if o.Config == nil {
		return "", nil, errdefs.ErrInvalidArgument.WithMessage("config cannot be empty in order to create a container")
	}
	if o.HostConfig == nil {
		o.HostConfig = &container.HostConfig{}
	}
	warnings, err := m.validateRequest(o.Config, o.HostConfig)
	if err != nil {
		return "", nil, err
	}
	img, more, err := m.imageFor(ctx, o)
	if err != nil {
		return "", nil, err
	}
	warnings = append(warnings, more...)
	id, more, err := m.createFrom(ctx, img, o)
	if errdefs.IsNotFound(err) {
		// Clients take "not found" for a missing image, and pull it.
		err = invalid("%s", err)
	}
	if err != nil {
		return "", nil, err
	}
	return id, append(warnings, more...), nil
}

func (m *Manager) createFrom(ctx context.Context, img *image.Image, o CreateOptions) (string, []string, error) {
	mergeImage(o.Config, &img.Config)
	setDefaults(o.HostConfig)
	m.defaultLog(&o.HostConfig.LogConfig)
	warnings, err := m.validateMerged(o)
	if err != nil {
		return "", nil, err
	}
	c := newContainer(m.Root, record{
		ID: newID(), Created: time.Now().UTC(), ImageID: img.ID, Platform: img.Platform,
		Config: o.Config, HostConfig: o.HostConfig, State: state{Status: container.StateCreated},
	})
	if err := m.joinIDs(c); err != nil {
		return "", nil, err
	}
	m.setEndpoints(c, o.Networking)
	linkWarnings, err := m.resolveLinks(c)
	if err != nil {
		return "", nil, err
	}
	warnings = append(warnings, linkWarnings...)
	if err := m.setHostname(c); err != nil {
		return "", nil, err
	}
	if err := m.nameAndKeep(ctx, c, o.Name); err != nil {
		return "", nil, err
	}
	m.emit(c, events.ActionCreate)
	return c.ID, warnings, nil
}

// nameAndKeep takes the name, makes the container's folder and volumes, and records it. Nothing stays when it fails.
func (m *Manager) nameAndKeep(ctx context.Context, c *Container, name string) (err error) {
	if name == "" {
		c.Name = m.reserveAny(c.ID)
	} else if c.Name, err = checkName(name); err != nil {
		return err
	} else if err = m.reserve(c.Name, c.ID); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			m.release(c.Name)
		}
	}()
	if err := m.Networks.Validate(m.networkRequest(c, "")); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.dir), 0o710); err != nil {
		return fmt.Errorf("make container's folder: %w", err)
	}
	for _, dir := range []string{c.dir, filepath.Join(c.dir, "upper"), filepath.Join(c.dir, "work")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return errors.Join(fmt.Errorf("make container's folder: %w", err), os.RemoveAll(c.dir))
		}
	}
	if err := os.Chmod(c.dir, 0o710); err != nil {
		return errors.Join(err, os.RemoveAll(c.dir))
	}
	if err := m.resolveVolumes(ctx, c); err != nil {
		return errors.Join(err, os.RemoveAll(c.dir))
	}
	m.mu.Lock()
	m.byID[c.ID] = c
	m.mu.Unlock()
	// From here on the image store knows that the image is in use; it may have been deleted just before.
	_, err = m.Images.Resolve(ctx, c.ImageID)
	if err == nil {
		err = m.save(c, c.durable())
	}
	if err != nil {
		m.mu.Lock()
		delete(m.byID, c.ID)
		m.mu.Unlock()
		return errors.Join(err, m.Volumes.Release(ctx, c.ID, true), os.RemoveAll(c.dir))
	}
	return nil
}

// resolveVolumes makes the container's volumes at its creation, so that they are there and in use from now on.
func (m *Manager) resolveVolumes(ctx context.Context, c *Container) error {
	var fs rootfs
	defer func() { fs.unmount(m) }()
	_, points, err := m.Volumes.Resolve(ctx, c.ID, c.Config, c.HostConfig, func() (string, error) {
		if fs.path != "" { // for another volume
			return fs.path, nil
		}
		var err error
		fs, err = m.mountRootfs(ctx, c, nil)
		return fs.path, err
	})
	if err != nil {
		return errors.Join(err, m.Volumes.Release(ctx, c.ID, true))
	}
	c.Mounts = points
	return nil
}

// imageFor finds the image and checks its platform.
func (m *Manager) imageFor(ctx context.Context, o CreateOptions) (*image.Image, []string, error) {
	if o.Config.Image == "" {
		return nil, nil, errdefs.ErrInvalidArgument.WithMessage("no image specified")
	}
	img, err := m.Images.Resolve(ctx, o.Config.Image)
	if err != nil {
		return nil, nil, err
	}
	if o.Platform != nil {
		if !platforms.NewMatcher(*o.Platform).Match(img.Platform) {
			return nil, nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf(
				"image with reference %s was found but does not provide the specified platform (%s)",
				cmp.Or(img.Name, o.Config.Image), platforms.Format(*o.Platform)))
		}
		return img, nil, nil
	}
	if img.Platform.Architecture != "" && !platforms.Default().Match(img.Platform) {
		return img, []string{fmt.Sprintf("The requested image's platform (%s) does not match the detected host platform (%s) "+
			"and no specific platform was requested", platforms.Format(img.Platform), platforms.DefaultString())}, nil
	}
	return img, nil, nil
}

// joinIDs replaces names in "container:<name>" modes by IDs: the name may change, what was joined does not.
func (m *Manager) joinIDs(c *Container) error {
	hc := c.HostConfig
	replace := func(ref string) (string, error) {
		other, err := m.find(ref)
		if err != nil {
			return "", err
		}
		return "container:" + other.ID, nil
	}
	if hc.NetworkMode.IsContainer() {
		mode, err := replace(hc.NetworkMode.ConnectedContainer())
		if err != nil {
			return err
		}
		hc.NetworkMode = container.NetworkMode(mode)
	}
	if hc.PidMode.IsContainer() {
		mode, err := replace(hc.PidMode.Container())
		if err != nil {
			return err
		}
		hc.PidMode = container.PidMode(mode)
	}
	if hc.IpcMode.IsContainer() {
		mode, err := replace(hc.IpcMode.Container())
		if err != nil {
			return err
		}
		hc.IpcMode = container.IpcMode(mode)
		if _, err := m.sharedShm(hc.IpcMode.Container()); err != nil {
			return err
		}
	}
	return nil
}

// setHostname names a container that the user did not name: as the host or the container whose network it uses,
// else by its ID.
func (m *Manager) setHostname(c *Container) error {
	mode := c.HostConfig.NetworkMode
	switch {
	case c.Config.Hostname != "":
	case mode.IsContainer():
		other, err := m.find(mode.ConnectedContainer())
		if err != nil {
			return err
		}
		c.Config.Hostname = other.hostname()
	case mode.IsHost():
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("host name: %w", err)
		}
		c.Config.Hostname = name
	default:
		c.Config.Hostname = c.ID[:12]
	}
	return nil
}
