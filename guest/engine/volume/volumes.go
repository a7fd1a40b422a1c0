package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/volume"
)

// anonymousLabel marks a volume that was made without a name, as in Docker.
const anonymousLabel = "com.docker.volume.anonymous"

var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// checkName refuses names with Docker's words.
func checkName(name string) error {
	if len(name) == 1 {
		return errdefs.ErrInvalidArgument.WithMessage("create " + name + ": volume name is too short, names should be at least two alphanumeric characters")
	}
	if !validName.MatchString(name) || len(name) > 255-len(removing) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("create %s: %q includes invalid characters for a local volume name, "+
			`only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`, name, name))
	}
	return nil
}

func (m *Manager) checkDriver(name string, options map[string]string) error {
	if name != "" && name != driver {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("error looking up volume plugin %s: plugin %q not found", name, name))
	}
	return m.checkOptions(options)
}

// Create makes a volume, or returns the one of that name.
func (m *Manager) Create(ctx context.Context, req volume.CreateRequest) (*volume.Volume, error) {
	if req.ClusterVolumeSpec != nil {
		return nil, errdefs.ErrNotImplemented.WithMessage("naru has no cluster volumes")
	}
	if err := m.checkDriver(req.Driver, req.DriverOpts); err != nil {
		return nil, fmt.Errorf("create %s: %w", req.Name, err)
	}
	anonymous := req.Name == ""
	if anonymous {
		req.Name = newName()
	} else if err := checkName(req.Name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.vols[req.Name]; v != nil && !sameOptions(v.Options, req.DriverOpts) {
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("volume %s exists with other options: remove it first, or leave the options out", req.Name))
	}
	v, err := m.ensure(req.Name, record{Labels: req.Labels, Options: req.DriverOpts, Anonymous: anonymous}, true)
	if err != nil {
		return nil, err
	}
	return m.describe(v), nil
}

// sameOptions: who names no options takes the volume as it is.
func sameOptions(have, want map[string]string) bool { return len(want) == 0 || maps.Equal(have, want) }

// ensure returns the volume of that name, making it as in r when it is missing. The caller holds mu and has checked name
// and options.
func (m *Manager) ensure(name string, r record, durable bool) (*vol, error) {
	if v := m.vols[name]; v != nil {
		return v, nil
	}
	v := &vol{name: name, record: r}
	v.Created = time.Now()
	if r.Anonymous {
		v.Labels = maps.Clone(r.Labels)
		if v.Labels == nil {
			v.Labels = map[string]string{}
		}
		v.Labels[anonymousLabel] = ""
	}
	folder := filepath.Join(m.dir, name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, fmt.Errorf("create volume %s: %w", name, err)
	}
	err := os.Mkdir(m.data(name), 0o755)
	if err == nil {
		err = m.opts.Store.Put(kindVolume, name, v.record, durable)
	}
	if err != nil {
		_ = os.RemoveAll(folder)
		return nil, fmt.Errorf("create volume %s: %w", name, err)
	}
	m.vols[name] = v
	m.emit(events.ActionCreate, name, nil)
	return v, nil
}

// Get returns the volume of that name.
func (m *Manager) Get(name string) (*volume.Volume, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.vols[name]
	if v == nil {
		return nil, errNoVolume(name)
	}
	return m.describe(v), nil
}

func errNoVolume(name string) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("get %s: no such volume", name))
}

func (m *Manager) describe(v *vol) *volume.Volume {
	return &volume.Volume{
		Name: v.name, Driver: driver, Scope: "local", Mountpoint: m.data(v.name),
		CreatedAt: v.Created.Format(created), Labels: maps.Clone(v.Labels), Options: maps.Clone(v.Options),
	}
}

// List returns the volumes that match the filter, ordered by name.
func (m *Manager) List(f Filter) ([]volume.Volume, error) {
	if err := f.check("name", "dangling", "driver", "label"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []volume.Volume{}
	for _, v := range m.vols {
		if f.matches(v, func() bool { return len(m.users(v.name)) > 0 }) {
			out = append(out, *m.describe(v))
		}
	}
	slices.SortFunc(out, func(a, b volume.Volume) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// Usage returns all volumes with what they take on disk and how many containers have them, ordered by name. It walks
// through the volumes: a container, or on Linux the user, changes them without our knowledge.
func (m *Manager) Usage(ctx context.Context) ([]volume.Volume, error) {
	list, err := m.List(nil)
	if err != nil {
		return nil, err
	}
	for i, v := range list {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		m.mu.Lock()
		users := len(m.users(v.Name))
		m.mu.Unlock()
		list[i].UsageData = &volume.UsageData{Size: int64(diskUsage(v.Mountpoint)), RefCount: int64(users)}
	}
	return list, nil
}

// Remove deletes a volume that no container uses. With force a missing one is not an error.
func (m *Manager) Remove(ctx context.Context, name string, force bool) error {
	m.mu.Lock()
	v := m.vols[name]
	if v == nil {
		m.mu.Unlock()
		if force {
			return nil
		}
		return errNoVolume(name)
	}
	if v.busy > 0 {
		m.mu.Unlock()
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("remove %s: volume is in use - it is being exported or imported", name))
	}
	if users := m.users(name); len(users) > 0 {
		m.mu.Unlock()
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("remove %s: volume is in use - [%s]", name, strings.Join(users, ", ")))
	}
	trash, err := m.retire(v)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.discard(name, trash)
}

// retire takes an unused volume out of sight and returns the folder that is left to delete. The caller holds mu.
//
// That it is being removed is recorded first: an engine that is killed, or a host that goes down, at any moment from then on
// is followed by one that goes on. The record goes last, when the folder is gone for good: a volume that was told to be
// removed must not be found again, as a folder without a record.
func (m *Manager) retire(v *vol) (trash string, err error) {
	if v.needsMount() { // the folder is deleted soon, what was mounted there must not be
		if err := m.unmountData(v); err != nil {
			return "", fmt.Errorf("remove %s: %w", v.name, err)
		}
	}
	durable := !v.Anonymous
	gone := v.record
	gone.Removing = true
	if err := m.opts.Store.Put(kindVolume, v.name, gone, durable); err != nil {
		return "", fmt.Errorf("remove %s: %w", v.name, err)
	}
	trash = filepath.Join(m.dir, removing+newName()[:12])
	err = os.Rename(filepath.Join(m.dir, v.name), trash)
	if errors.Is(err, fs.ErrNotExist) { // an earlier engine had come so far
		err = nil
	}
	if err == nil && durable {
		err = syncFolder(m.dir)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("remove %s: %w", v.name, err), m.opts.Store.Put(kindVolume, v.name, v.record, durable))
	}
	if err := m.opts.Store.Delete(kindVolume, v.name, false); err != nil {
		m.opts.Log.Warn("volume: its record is left, the next start removes it", "volume", v.name, "error", err)
	}
	delete(m.vols, v.name)
	return trash, nil
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// discard deletes a retired folder.
func (m *Manager) discard(name, trash string) error {
	if err := os.RemoveAll(trash); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	m.emit(events.ActionDestroy, name, nil)
	return nil
}

// Prune deletes unused volumes: the anonymous ones, and with filter all=true the named ones too.
func (m *Manager) Prune(ctx context.Context, f Filter) (*volume.PruneReport, error) {
	if err := f.check("all", "label", "label!"); err != nil {
		return nil, err
	}
	all, err := f.all()
	if err != nil {
		return nil, err
	}
	report := &volume.PruneReport{VolumesDeleted: []string{}}
	trash := map[string]string{}
	m.mu.Lock()
	for name, v := range m.vols {
		if !all && !v.Anonymous || v.busy > 0 || len(m.users(name)) > 0 || !f.matches(v, nil) {
			continue
		}
		folder, err := m.retire(v)
		if err != nil {
			m.mu.Unlock()
			return nil, err
		}
		trash[name] = folder
	}
	m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(trash)) {
		if err := ctx.Err(); err != nil {
			return nil, err // the folders are deleted at the next start
		}
		report.SpaceReclaimed += diskUsage(trash[name])
		if err := m.discard(name, trash[name]); err != nil {
			return nil, err
		}
		report.VolumesDeleted = append(report.VolumesDeleted, name)
	}
	if m.opts.Events != nil {
		m.opts.Events.Emit(events.VolumeEventType, events.ActionPrune, "",
			map[string]string{"reclaimed": strconv.FormatUint(report.SpaceReclaimed, 10)})
	}
	return report, nil
}

// diskUsage is the number of bytes that a tree's files take on disk, hard links counted once; folders count nothing, as in Docker. What
// cannot be read counts as 0.
func diskUsage(root string) uint64 {
	var total uint64
	seen := map[[2]uint64]bool{}
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		if key := [2]uint64{uint64(st.Dev), st.Ino}; !seen[key] {
			seen[key] = true
			total += uint64(st.Blocks) * 512
		}
		return nil
	})
	return total
}

// emit publishes an event about a volume.
func (m *Manager) emit(action events.Action, name string, more map[string]string) {
	if m.opts.Events == nil {
		return
	}
	attributes := map[string]string{"driver": driver}
	maps.Copy(attributes, more)
	m.opts.Events.Emit(events.VolumeEventType, action, name, attributes)
}
