package volume

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/volume"
	"golang.org/x/sys/unix"

	"naru/guest/api"
	"naru/guest/engine/event"
	"naru/guest/engine/journal"
)

// reopen is what a restart of the engine does.
func reopen(t *testing.T, m *Manager, change ...func(*Options)) *Manager {
	t.Helper()
	check(t, m.opts.Store.(*journal.Journal).Close())
	return open(t, m.opts.Root, change...)
}

// open returns a Manager on root.
func open(t *testing.T, root string, change ...func(*Options)) *Manager {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store, err := journal.Open(filepath.Join(root, "journal"), log)
	check(t, err)
	t.Cleanup(func() { _ = store.Close() })
	opts := Options{Root: root, Store: store, Events: &event.Bus{}, Log: log, Mode: api.ModeDirect}
	for _, c := range change {
		c(&opts)
	}
	m, err := Open(opts)
	check(t, err)
	return m
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: run `sudo go test ./guest/engine/volume`")
	}
}

// write makes a file and the folders above it.
func write(t *testing.T, path, content string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, []byte(content), 0o644))
}

func rootfsAt(dir string) func() (string, error) { return func() (string, error) { return dir, nil } }

func TestValidate(t *testing.T) {
	dir := t.TempDir()
	m := open(t, dir)
	there := filepath.Join(dir, "journal")
	for _, c := range []struct {
		name string
		hc   container.HostConfig
		want string // "" is valid
	}{
		{"named", container.HostConfig{Binds: []string{"data:/data"}}, ""},
		{"bind with modes", container.HostConfig{Binds: []string{there + ":/x:ro,z,rslave"}}, ""},
		{"missing source of -v", container.HostConfig{Binds: []string{dir + "/nope:/x"}}, ""},
		{"too many parts", container.HostConfig{Binds: []string{"a:/b:ro:c"}}, "invalid volume specification: 'a:/b:ro:c'"},
		{"empty source", container.HostConfig{Binds: []string{":/b"}}, "invalid volume specification: ':/b'"},
		{"destination and mode", container.HostConfig{Binds: []string{"/b:ro"}}, "invalid volume specification: '/b:ro'"},
		{"mode", container.HostConfig{Binds: []string{"/a:/b:rx"}}, "invalid mode: rx"},
		{"mode twice", container.HostConfig{Binds: []string{"/a:/b:ro,rw"}}, "invalid mode: ro,rw"},
		{"relative destination", container.HostConfig{Binds: []string{"/a:b"}},
			`invalid volume specification: '/a:b': invalid mount config for type "bind": invalid mount path: 'b' mount path must be absolute`},
		{"root destination", container.HostConfig{Binds: []string{"/a:/../"}},
			`invalid volume specification: '/a:/../': invalid mount config for type "bind": invalid specification: destination can't be '/'`},
		{"relative source", container.HostConfig{Binds: []string{"./a:/b"}},
			`create ./a: "./a" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`},
		{"nocopy of a bind", container.HostConfig{Binds: []string{"/a:/b:nocopy"}},
			`invalid volume specification: '/a:/b:nocopy': invalid mount config for type "bind": field VolumeOptions must not be specified`},
		{"missing source of --mount", container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeBind, Source: "/nope", Target: "/x"}}},
			`invalid mount config for type "bind": bind source path does not exist: /nope`},
		{"unknown type", container.HostConfig{Mounts: []mount.Mount{{Type: "odd", Target: "/x"}}}, `invalid mount config for type "odd": mount type unknown`},
		{"no target", container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeTmpfs}}}, `invalid mount config for type "tmpfs": field Target must not be empty`},
		{"tmpfs option", container.HostConfig{Tmpfs: map[string]string{"/x": "size=1m,foo"}}, `invalid tmpfs option ["foo"]`},
		{"duplicate", container.HostConfig{Binds: []string{"a1:/x/", "b1:/x"}}, "Duplicate mount point: /x"},
		{"duplicate tmpfs", container.HostConfig{Binds: []string{"a1:/x"}, Tmpfs: map[string]string{"/x": ""}}, "Duplicate mount point: /x"},
		{"driver", container.HostConfig{VolumeDriver: "odd"}, `error looking up volume plugin odd: plugin "odd" not found`},
	} {
		got := ""
		if err := m.Validate(&container.Config{}, &c.hc); err != nil {
			got = err.Error()
			if !errdefs.IsInvalidArgument(err) && c.name != "driver" {
				t.Errorf("%s: class of %v", c.name, err)
			}
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestResolveAndRelease(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	m := open(t, dir)
	cfg := &container.Config{Volumes: map[string]struct{}{"/anon": {}, "/data/deep": {}}}
	hc := &container.HostConfig{
		Binds:  []string{"named:/data:ro", dir + "/made/here:/data/deep"},
		Mounts: []mount.Mount{{Type: mount.TypeTmpfs, Target: "/t", TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 1 << 20, Mode: 0o700}}},
		Tmpfs:  map[string]string{"/run": "ro,size=1m"},
	}
	empty := t.TempDir()
	mounts, points, err := m.Resolve(ctx, "c1", cfg, hc, rootfsAt(empty))
	check(t, err)
	var got []string
	for _, mnt := range mounts {
		got = append(got, mnt.Target)
	}
	if want := []string{"/anon", "/data", "/run", "/t", "/data/deep"}; !slices.Equal(got, want) {
		t.Fatalf("order %v, want %v", got, want)
	}
	if len(points) != 4 || points[1].Name != "named" || points[1].RW || !mounts[1].ReadOnly || points[1].Mode != "ro" {
		t.Errorf("points %+v", points)
	}
	if !mounts[2].ReadOnly || !slices.Equal(mounts[2].Options, []string{"size=1m"}) || !slices.Equal(mounts[3].Options, []string{"size=1048576", "mode=700"}) {
		t.Errorf("tmpfs %+v %+v", mounts[2], mounts[3])
	}
	if _, err := os.Stat(dir + "/made/here"); err != nil {
		t.Error(err)
	}

	m = reopen(t, m, func(o *Options) { o.Container = func(string) (string, error) { return "c1", nil } })
	_, again, err := m.Resolve(ctx, "c1", cfg, hc, rootfsAt(empty))
	check(t, err)
	anonymous := points[0].Name
	if again[0].Name != anonymous || !isAnonymous(anonymous) {
		t.Errorf("anonymous volume changed from %s to %s", anonymous, again[0].Name)
	}
	_, inherited, err := m.Resolve(ctx, "c2", nil, &container.HostConfig{VolumesFrom: []string{"c1:ro"}}, rootfsAt(empty))
	check(t, err)
	if len(inherited) != 3 || inherited[0].Name != anonymous || inherited[0].RW {
		t.Errorf("volumes-from: %+v", inherited)
	}

	if err := m.Remove(ctx, "named", false); err == nil || err.Error() != "remove named: volume is in use - [c1, c2]" || !errdefs.IsConflict(err) {
		t.Errorf("remove in use: %v", err)
	}
	check(t, m.Release(ctx, "c1", true))
	if _, err := m.Get(anonymous); err != nil {
		t.Errorf("an anonymous volume that another container has was removed: %v", err)
	}
	check(t, m.Release(ctx, "c2", true))
	check(t, m.Release(ctx, "c2", true))
	check(t, m.Remove(ctx, "named", false))
	if err := m.Remove(ctx, "named", false); err == nil || err.Error() != "get named: no such volume" {
		t.Errorf("remove twice: %v", err)
	}
	report, err := m.Prune(ctx, nil)
	check(t, err)
	if !slices.Equal(report.VolumesDeleted, []string{anonymous}) {
		t.Errorf("prune: %+v", report)
	}
	left, _ := os.ReadDir(filepath.Join(dir, "volumes"))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestShares(t *testing.T) {
	share, other := t.TempDir(), t.TempDir()
	check(t, os.Symlink(other, filepath.Join(share, "out")))
	check(t, os.Symlink(filepath.Join(share, "in"), filepath.Join(share, "link")))
	check(t, os.Mkdir(filepath.Join(share, "in"), 0o755))
	m := open(t, t.TempDir(), func(o *Options) { o.Mode, o.Shares = api.ModeMachine, []api.Share{{Path: share}} })
	for source, ok := range map[string]bool{
		share: true, share + "/in": true, share + "/link": true, share + "/new/one": true, share + "/link/new": true,
		share + "/out": false, share + "/out/x": false, share + "x": false, other: false, "/": false, share + "/../x": false,
	} {
		err := m.Validate(nil, &container.HostConfig{Binds: []string{source + ":/x"}})
		if (err == nil) != ok {
			t.Errorf("%s: %v", source, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "bind source path is not shared with the machine: /") {
			t.Error(err)
		}
	}
}

func TestFillFromImage(t *testing.T) {
	needRoot(t)
	ctx, image := context.Background(), t.TempDir()
	write(t, image+"/srv/data/a", "content")
	check(t, os.Chown(image+"/srv/data/a", 1000, 1001))
	check(t, unix.Chmod(image+"/srv/data/a", 0o4755))
	check(t, os.Link(image+"/srv/data/a", image+"/srv/data/b"))
	write(t, image+"/srv/data/sub/c", "c")
	check(t, os.Symlink("/etc/passwd", image+"/srv/data/sub/link"))
	check(t, unix.Mkfifo(image+"/srv/data/fifo", 0o600))
	check(t, os.Chown(image+"/srv/data", 5, 6))
	check(t, unix.Chmod(image+"/srv/data", 0o1777))
	check(t, os.Symlink("/srv/data", image+"/abs")) // absolute, inside the image

	m := open(t, t.TempDir())
	hc := &container.HostConfig{Binds: []string{"filled:/abs", "plain:/srv/data:nocopy", "none:/not/there"}}
	_, _, err := m.Resolve(ctx, "c1", nil, hc, rootfsAt(image))
	check(t, err)
	data := m.data("filled")
	var top, a, b unix.Stat_t
	check(t, unix.Stat(data, &top))
	check(t, unix.Stat(data+"/a", &a))
	check(t, unix.Stat(data+"/b", &b))
	if top.Uid != 5 || top.Gid != 6 || top.Mode&0o7777 != 0o1777 {
		t.Errorf("folder: %d:%d %o", top.Uid, top.Gid, top.Mode)
	}
	if a.Uid != 1000 || a.Gid != 1001 || a.Mode&0o7777 != 0o4755 || a.Ino != b.Ino {
		t.Errorf("file: %d:%d %o, inodes %d %d", a.Uid, a.Gid, a.Mode, a.Ino, b.Ino)
	}
	if to, err := os.Readlink(data + "/sub/link"); err != nil || to != "/etc/passwd" {
		t.Errorf("link: %s, %v", to, err)
	}
	if got, _ := os.ReadFile(data + "/sub/c"); string(got) != "c" {
		t.Errorf("sub/c: %q", got)
	}
	if _, err := os.Lstat(filepath.Join(m.dir, "filled", marker)); err == nil {
		t.Error("marker is left")
	}
	for _, name := range []string{"plain", "none"} {
		if empty, err := isEmpty(m.data(name)); err != nil || !empty {
			t.Errorf("%s was filled, %v", name, err)
		}
	}
	// A volume that has content, or that a container emptied, is left alone.
	check(t, os.RemoveAll(data+"/sub"))
	_, _, err = m.Resolve(ctx, "c2", nil, hc, rootfsAt(image))
	check(t, err)
	if _, err := os.Stat(data + "/sub"); err == nil {
		t.Error("a volume with content was filled")
	}
}

// TestHostileImage has an image whose links lead to the host's files.
func TestHostileImage(t *testing.T) {
	needRoot(t)
	ctx, image, secret := context.Background(), t.TempDir(), t.TempDir()
	write(t, secret+"/key", "secret")
	check(t, os.Symlink(secret, image+"/abs"))
	check(t, os.Symlink("../../../../../../../.."+secret, image+"/rel"))
	check(t, os.Symlink("/proc/self/root"+secret, image+"/magic"))
	check(t, os.MkdirAll(image+"/ok", 0o755))
	check(t, os.Symlink(secret, image+"/ok/link"))
	m := open(t, t.TempDir())
	for _, target := range []string{"/abs", "/rel", "/magic", "/abs/../../../../" + secret} {
		name := "v" + strings.ReplaceAll(target, "/", "_")
		_, _, err := m.Resolve(ctx, name, nil, &container.HostConfig{Binds: []string{name + ":" + target}}, rootfsAt(image))
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		if empty, err := isEmpty(m.data(name)); err != nil || !empty {
			t.Errorf("%s: the host's files were copied, %v", target, err)
		}
	}
	_, _, err := m.Resolve(ctx, "ok", nil, &container.HostConfig{Binds: []string{"okay:/ok"}}, rootfsAt(image))
	check(t, err)
	if info, err := os.Lstat(m.data("okay") + "/link"); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("a link was followed: %v, %v", info, err)
	}
}

// TestRemovalCutShort: a removal that an engine was killed in is finished by the next, wherever it had come to.
func TestRemovalCutShort(t *testing.T) {
	root := t.TempDir()
	m := open(t, root)
	for _, name := range []string{"whole", "hidden", "kept"} {
		v, err := m.Create(t.Context(), volume.CreateRequest{Name: name, Labels: map[string]string{"k": "v"}})
		check(t, err)
		write(t, v.Mountpoint+"/file", "x")
		if name != "kept" {
			gone := m.vols[name].record
			gone.Removing = true
			check(t, m.opts.Store.Put(kindVolume, name, gone, true))
		}
	}
	check(t, os.Rename(filepath.Join(m.dir, "hidden"), filepath.Join(m.dir, removing+"hidden")))
	m = reopen(t, m)
	entries, err := os.ReadDir(m.dir)
	check(t, err)
	if len(entries) != 1 || entries[0].Name() != "kept" {
		t.Errorf("folders: %v", entries)
	}
	check(t, m.Remove(t.Context(), "kept", false))
	m = reopen(t, m)
	if list, err := m.List(nil); err != nil || len(list) != 0 {
		t.Errorf("volumes: %v %v", list, err)
	}
}

func TestCrashes(t *testing.T) {
	ctx, root := context.Background(), t.TempDir()
	m := open(t, root)
	_, err := m.Create(ctx, volume.CreateRequest{Name: "half", Labels: map[string]string{"k": "v"}})
	check(t, err)
	write(t, m.data("half")+"/partly", "x")
	write(t, filepath.Join(m.dir, "half", marker), "")
	write(t, m.data("unrecorded")+"/kept", "x")
	write(t, filepath.Join(m.dir, removing+"abc", "x"), "x")
	m = reopen(t, m)
	if empty, err := isEmpty(m.data("half")); err != nil || !empty {
		t.Errorf("half-filled volume: %v", err)
	}
	list, err := m.List(Filter{"label": {"k=v"}})
	if err != nil || len(list) != 1 || list[0].Name != "half" {
		t.Errorf("by label: %v, %v", list, err)
	}
	if _, err := m.Get("unrecorded"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(m.dir, removing+"abc")); err == nil {
		t.Error("a deleted volume is left")
	}
	for name, want := range map[string]string{
		"a": "create a: volume name is too short, names should be at least two alphanumeric characters",
		"..": `create ..: ".." includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. ` +
			"If you intended to pass a host directory, use absolute path",
	} {
		if _, err := m.Create(ctx, volume.CreateRequest{Name: name}); err == nil || err.Error() != want {
			t.Errorf("create %s: %v", name, err)
		}
	}
}
