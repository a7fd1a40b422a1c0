// Package volume keeps named and anonymous volumes, and turns every spelling of a mount (-v, --mount, --tmpfs,
// VOLUME of an image, --volumes-from) into the list of mounts of a container.
package volume

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/volume"

	"naru/guest/api"
	"naru/guest/engine/event"
	"naru/guest/runtime"
)

// Store keeps records over restarts of the engine. Put and Delete with durable return only after the record is
// on disk.
type Store interface {
	Put(kind, id string, v any, durable bool) error
	Delete(kind, id string, durable bool) error
	Each(kind string, fn func(id string, raw json.RawMessage) error) error
}

// Options say what a Manager works with.
type Options struct {
	Root   string // the engine's root; the data is in Root/volumes/<name>/_data
	Store  Store
	Events *event.Bus
	Log    *slog.Logger
	Shares []api.Share // machine mode: the folders of the host that can be bound
	Mode   string      // api.ModeDirect or api.ModeMachine
	// Container resolves a container's name or ID prefix to its ID, for VolumesFrom; nil refuses VolumesFrom.
	Container func(ref string) (id string, err error)
}

// Manager owns the volumes of one installation. Safe for concurrent use.
type Manager struct {
	opts Options
}

// Filter is what List and Prune select by: Docker's filter names to the accepted values of each.
type Filter map[string][]string

var errNotYet = errors.New("not yet")

// Open loads the records. A volume's folder without a record is taken in as it is.
func Open(opts Options) (*Manager, error) { return nil, errNotYet }

// Validate checks all mounts of a container to be created, and makes nothing.
func (m *Manager) Validate(cfg *container.Config, hc *container.HostConfig) error { return errNotYet }

// Resolve makes the volumes of a container that are missing, fills new ones from the image (rootfs returns the
// mounted root file system; it is called only when a volume is empty and wants a copy), marks them as used by the container
// and returns its mounts, ordered so that a parent comes before its children. It can be called again, at each start:
// anonymous volumes stay the same.
func (m *Manager) Resolve(ctx context.Context, containerID string, cfg *container.Config, hc *container.HostConfig,
	rootfs func() (string, error)) ([]runtime.Mount, []container.MountPoint, error) {
	return nil, nil, errNotYet
}

// Unmounted tells that the container has ended: the `unmount` events.
func (m *Manager) Unmounted(containerID string) {}

// Release ends the container's use of its volumes, and with removeAnonymous deletes those that were made for it.
// Idempotent.
func (m *Manager) Release(ctx context.Context, containerID string, removeAnonymous bool) error {
	return errNotYet
}

// Create makes a volume, or returns the one of that name.
func (m *Manager) Create(ctx context.Context, req volume.CreateRequest) (*volume.Volume, error) {
	return nil, errNotYet
}

// Get returns the volume of that name.
func (m *Manager) Get(name string) (*volume.Volume, error) { return nil, errNotYet }

// List returns the volumes that match the filter, ordered by name.
func (m *Manager) List(f Filter) ([]volume.Volume, error) { return nil, errNotYet }

// Remove deletes a volume that no container uses. With force a missing one is not an error.
func (m *Manager) Remove(ctx context.Context, name string, force bool) error { return errNotYet }

// Prune deletes unused volumes: the anonymous ones, and with filter all=true the named ones too.
func (m *Manager) Prune(ctx context.Context, f Filter) (*volume.PruneReport, error) {
	return nil, errNotYet
}
