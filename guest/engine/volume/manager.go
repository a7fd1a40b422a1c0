// Package volume keeps named and anonymous volumes, and turns every spelling of a mount (-v, --mount, --tmpfs,
// VOLUME of an image, --volumes-from) into the list of mounts of a container.
package volume

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"naru/guest/api"
	"naru/guest/engine/event"
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
	Run    string // a tmpfs that lives as long as the keeper: mounts/<container ID> is in it
	Store  Store
	Events *event.Bus
	Log    *slog.Logger
	Shares []api.Share // machine mode: the folders of the host that can be bound
	Mode   string      // api.ModeDirect or api.ModeMachine
	// Socket is where the engine's API is served, and SocketNames are further paths that mean it as the source of a bind:
	// what users call the socket that they reach this engine by.
	Socket      string
	SocketNames []string
	// HostSocket makes a socket in the machine that leads to one of the host, named as a target of api.OpDial, and
	// HostSockets are paths of such sockets that may be bound although they are in no share. nil: there are none.
	HostSocket  func(target string) (path string, err error)
	HostSockets []string
	// Container resolves a container's name or ID prefix to its ID, for VolumesFrom; nil refuses VolumesFrom.
	Container func(ref string) (id string, err error)
	// Running tells whether a container runs; nil: none does.
	Running func(containerID string) bool
	// ResolveImage finds an image for a mount of one, and ImageLayers its layers, topmost first. nil refuses such mounts.
	ResolveImage func(ctx context.Context, ref string) (id string, err error)
	ImageLayers  func(ctx context.Context, id string) ([]string, error)
}

// Kinds of record in the store.
const (
	kindVolume = "volume"     // by name
	kindUse    = "volume-use" // by container ID
	driver     = "local"      // the only driver
	dataFolder = "_data"      // of a volume's folder: what containers see
	marker     = ".filling"   // in a volume's folder while the image's content is copied
	removing   = ".removing-" // prefix of folders that are being deleted
	created    = time.RFC3339 // Docker's format of CreatedAt
)

// record is a volume as it is stored.
type record struct {
	Created   time.Time
	Labels    map[string]string `json:",omitempty"`
	Options   map[string]string `json:",omitempty"` // of the driver
	Anonymous bool              `json:",omitempty"`
	Removing  bool              `json:",omitempty"` // the next engine goes on with it
}

// vol is a volume at work.
type vol struct {
	record
	name string
	fill sync.Mutex // held while the image's content is copied in

	busy int // exports and imports under way; guarded by the Manager's mu

	mounting sync.Mutex      // held while its file system is mounted and unmounted; guards active
	active   map[string]bool // who needs it mounted, as far as this engine knows
}

// use is what a container has mounted, from its creation to its removal.
type use struct {
	Points    []container.MountPoint
	Anonymous map[string]string `json:",omitempty"` // destination to the volume made for it
	Subpaths  map[string]string `json:",omitempty"` // destination to the part of the volume or image that is mounted
}

// Manager owns the volumes of one installation. Safe for concurrent use.
type Manager struct {
	opts Options
	dir  string

	mu   sync.Mutex // guards all below
	vols map[string]*vol
	uses map[string]*use // by container ID
}

// Open loads the records. A volume's folder without a record is taken in as it is.
func Open(opts Options) (*Manager, error) {
	m := &Manager{opts: opts, dir: filepath.Join(opts.Root, "volumes"), vols: map[string]*vol{}, uses: map[string]*use{}}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return nil, err
	}
	err := opts.Store.Each(kindVolume, func(name string, raw json.RawMessage) error {
		v := &vol{name: name}
		if err := json.Unmarshal(raw, &v.record); err != nil {
			return fmt.Errorf("record of volume %s: %w", name, err)
		}
		m.vols[name] = v
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = opts.Store.Each(kindUse, func(id string, raw json.RawMessage) error {
		u := &use{}
		if err := json.Unmarshal(raw, u); err != nil {
			return fmt.Errorf("mounts of container %s: %w", id, err)
		}
		m.uses[id] = u
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m, m.reconcile()
}

// reconcile makes records and folders agree after a crash: deletions are finished, half-filled volumes emptied,
// folders without a record taken in, and missing folders made.
func (m *Manager) reconcile() error {
	m.finishRemovals()
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, removing) {
			if err := os.RemoveAll(filepath.Join(m.dir, name)); err != nil {
				m.opts.Log.Warn("volume: a deleted volume is left behind", "folder", name, "error", err)
			}
			continue
		}
		if !e.IsDir() || checkName(name) != nil {
			continue
		}
		if _, err := os.Lstat(filepath.Join(m.dir, name, marker)); err == nil && (m.vols[name] == nil || !m.vols[name].needsMount()) {
			if err := m.empty(name); err != nil {
				return fmt.Errorf("empty half-filled volume %s: %w", name, err)
			}
		}
		if m.vols[name] == nil {
			v := &vol{name: name, record: record{Created: time.Now(), Anonymous: isAnonymous(name)}}
			if info, err := e.Info(); err == nil {
				v.Created = info.ModTime()
			}
			m.vols[name] = v
			m.opts.Log.Info("volume: folder without a record is taken in", "volume", name)
		}
	}
	for name := range m.vols {
		if err := os.MkdirAll(m.data(name), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// finishRemovals goes on with what an earlier engine was killed in. What cannot be removed now stays a volume that is being
// removed, which nobody sees, until the next start.
func (m *Manager) finishRemovals() {
	for name, v := range m.vols {
		if !v.Removing {
			continue
		}
		if _, err := m.retire(v); err != nil {
			m.opts.Log.Warn("volume: go on with its removal", "volume", name, "error", err)
			v.Removing = false // better whole than half
		}
	}
}

// empty undoes an interrupted copy.
func (m *Manager) empty(name string) error {
	data := m.data(name)
	if mounted, err := isMountPoint(data); err != nil || mounted { // never delete what somebody mounted there
		return errors.Join(err, os.Remove(filepath.Join(m.dir, name, marker)))
	}
	err := errors.Join(os.RemoveAll(data), os.MkdirAll(data, 0o755))
	if err != nil {
		return err
	}
	return os.Remove(filepath.Join(m.dir, name, marker))
}

// data is the folder that containers see.
func (m *Manager) data(name string) string { return filepath.Join(m.dir, name, dataFolder) }

// users returns the sorted IDs of the containers that have the volume. The caller holds mu.
func (m *Manager) users(name string) []string {
	var out []string
	for id, u := range m.uses {
		if slices.ContainsFunc(u.Points, func(p container.MountPoint) bool { return p.Type == mount.TypeVolume && p.Name == name }) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

var anonymousName = regexp.MustCompile(`^[0-9a-f]{64}$`)

func isAnonymous(name string) bool { return anonymousName.MatchString(name) }

func newName() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b[:])
}
