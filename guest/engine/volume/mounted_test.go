package volume

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/volume"
	"golang.org/x/sys/unix"
)

// start is the second call of Resolve, at a container's start; the first one was its creation.
func start(t *testing.T, m *Manager, id string, hc *container.HostConfig) (sources []string, err error) {
	t.Helper()
	empty := rootfsAt(t.TempDir())
	if _, _, err := m.Resolve(context.Background(), id, nil, hc, empty); err != nil {
		return nil, err
	}
	mounts, _, err := m.Resolve(context.Background(), id, nil, hc, empty)
	for _, mnt := range mounts {
		sources = append(sources, mnt.Source)
	}
	return sources, err
}

func wantMounted(t *testing.T, path string, want bool) {
	t.Helper()
	if got, err := isMountPoint(path); err != nil || got != want {
		t.Errorf("%s is a mount point: %v, want %v (%v)", path, got, want, err)
	}
}

func TestDriverOptions(t *testing.T) {
	needRoot(t)
	ctx, dir, device := context.Background(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(device, "kept"), "content")
	m := open(t, dir)
	for _, c := range []struct {
		options map[string]string
		want    string
	}{
		{map[string]string{"foo": "bar"}, `invalid option: "foo"`},
		{map[string]string{"type": "nfs"}, `missing required option: "device"`},
		{map[string]string{"o": "ro", "type": "tmpfs"}, `missing required option: "device"`},
		{map[string]string{"size": "1g"}, "quota size requested but no quota support"},
		{map[string]string{"size": "much"}, `invalid size: 'much'`},
		{map[string]string{"type": "cifs", "device": "//h:99/x"}, "port not allowed in CIFS device URL, include 'port' in 'o='"},
	} {
		_, err := m.Create(ctx, volume.CreateRequest{Name: "bad", DriverOpts: c.options})
		if err == nil || err.Error() != "create bad: "+c.want || !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v: %v, want %s", c.options, err, c.want)
		}
	}
	bind := map[string]string{"type": "none", "o": "bind", "device": device}
	for name, options := range map[string]map[string]string{
		"memory": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=7"},
		"folder": bind,
		"broken": {"type": "none", "o": "bind", "device": device + "/missing"},
	} {
		v, err := m.Create(ctx, volume.CreateRequest{Name: name, DriverOpts: options})
		check(t, err)
		if len(v.Options) != 3 && name != "memory" {
			t.Errorf("options of %s: %v", name, v.Options)
		}
	}
	if _, err := m.Create(ctx, volume.CreateRequest{Name: "folder", DriverOpts: map[string]string{"type": "tmpfs", "device": "tmpfs"}}); !errdefs.IsConflict(err) {
		t.Errorf("the same name with other options: %v", err)
	}

	// Mounted while containers have it, and from the outside the same after a restart of the engine.
	hc := &container.HostConfig{Binds: []string{"folder:/a", "memory:/b"}}
	sources, err := start(t, m, "c1", hc)
	check(t, err)
	for _, source := range sources {
		wantMounted(t, source, true)
	}
	if data, err := os.ReadFile(filepath.Join(sources[0], "kept")); err != nil || string(data) != "content" {
		t.Errorf("the device is not in the volume: %q, %v", data, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(sources[1], &st); err != nil || st.Uid != 7 {
		t.Errorf("tmpfs with uid=7 has uid %d, %v", st.Uid, err)
	}
	running := map[string]bool{"c1": true}
	m = reopen(t, m, func(o *Options) { o.Running = func(id string) bool { return running[id] } })
	_, err = start(t, m, "c2", hc)
	check(t, err)
	m.Unmounted("c2")
	wantMounted(t, sources[0], true) // c1 still runs
	running["c1"] = false
	m.Unmounted("c1")
	for _, source := range sources {
		wantMounted(t, source, false)
	}

	// A failing mount is an error of the container, not of the engine, and nothing of the device ever goes with a volume.
	if _, err := start(t, m, "c3", &container.HostConfig{Binds: []string{"broken:/x"}}); err == nil || !strings.Contains(err.Error(), "failed to mount local volume") {
		t.Errorf("missing device: %v", err)
	}
	_, err = start(t, m, "c4", hc) // left mounted, as by an engine that was killed
	check(t, err)
	for _, id := range []string{"c1", "c2", "c3", "c4"} {
		check(t, m.Release(ctx, id, true))
	}
	for _, name := range []string{"folder", "memory", "broken"} {
		check(t, m.Remove(ctx, name, false))
	}
	if data, err := os.ReadFile(filepath.Join(device, "kept")); err != nil || string(data) != "content" {
		t.Errorf("removing the volume touched its device: %q, %v", data, err)
	}
}

func TestSubpath(t *testing.T) {
	needRoot(t)
	ctx, dir, run := context.Background(), t.TempDir(), t.TempDir()
	m := open(t, dir, func(o *Options) { o.Run = run })
	_, err := m.Create(ctx, volume.CreateRequest{Name: "data"})
	check(t, err)
	write(t, filepath.Join(m.data("data"), "in/side/f"), "x")
	check(t, os.Symlink("/etc", filepath.Join(m.data("data"), "out")))
	sub := func(path string) *container.HostConfig {
		return &container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: "data", Target: "/x", VolumeOptions: &mount.VolumeOptions{Subpath: path}}}}
	}
	for path, want := range map[string]string{
		"../x": "subpath must be a relative path within the volume", "/etc": "subpath must be a relative path within the volume",
		"out": "cannot access path", "out/passwd": "cannot access path", "missing": "cannot access path",
	} {
		if _, err := start(t, m, "bad", sub(path)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("subpath %s: %v, want %s", path, err, want)
		}
		check(t, m.Release(ctx, "bad", true))
	}
	sources, err := start(t, m, "c1", sub("in/side"))
	check(t, err)
	wantMounted(t, sources[0], true)
	if data, err := os.ReadFile(filepath.Join(sources[0], "f")); err != nil || string(data) != "x" {
		t.Errorf("subpath holds %q, %v", data, err)
	}
	again, err := start(t, m, "c1", sub("in/side")) // an engine that was killed left the mount
	check(t, err)
	file, err := start(t, m, "c2", sub("in/side/f"))
	check(t, err)
	if data, err := os.ReadFile(file[0]); err != nil || string(data) != "x" {
		t.Errorf("a file as subpath holds %q, %v", data, err)
	}
	m.Unmounted("c1")
	m.Unmounted("c2")
	wantMounted(t, again[0], false)
	if left, _ := os.ReadDir(filepath.Join(run, "mounts")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := os.Stat(filepath.Join(m.data("data"), "in/side/f")); err != nil {
		t.Errorf("unmounting deleted the volume's files: %v", err)
	}
}

func TestImageMount(t *testing.T) {
	needRoot(t)
	ctx, run := context.Background(), t.TempDir()
	top, bottom := t.TempDir(), t.TempDir()
	write(t, filepath.Join(top, "etc/a"), "top")
	write(t, filepath.Join(bottom, "etc/a"), "bottom")
	write(t, filepath.Join(bottom, "etc/b"), "bottom")
	layers := map[string][]string{"sha256:two": {top, bottom}, "sha256:one": {bottom}}
	m := open(t, t.TempDir(), func(o *Options) {
		o.Run = run
		o.ResolveImage = func(_ context.Context, ref string) (string, error) {
			if layers["sha256:"+ref] == nil {
				return "", errdefs.ErrNotFound.WithMessage("No such image: " + ref)
			}
			return "sha256:" + ref, nil
		}
		o.ImageLayers = func(_ context.Context, id string) ([]string, error) { return layers[id], nil }
	})
	image := func(ref, subpath string) *container.HostConfig {
		mnt := mount.Mount{Type: mount.TypeImage, Source: ref, Target: "/x"}
		if subpath != "" {
			mnt.ImageOptions = &mount.ImageOptions{Subpath: subpath}
		}
		return &container.HostConfig{Mounts: []mount.Mount{mnt}}
	}
	if _, err := start(t, m, "bad", image("none", "")); !errdefs.IsNotFound(err) {
		t.Errorf("unknown image: %v", err)
	}
	for _, c := range []struct{ ref, subpath, path, want string }{
		{"two", "", "etc/a", "top"}, {"two", "", "etc/b", "bottom"}, {"one", "", "etc/a", "bottom"}, {"two", "etc", "a", "top"},
	} {
		sources, err := start(t, m, "c1", image(c.ref, c.subpath))
		check(t, err)
		if data, err := os.ReadFile(filepath.Join(sources[0], c.path)); err != nil || string(data) != c.want {
			t.Errorf("%+v: %q, %v", c, data, err)
		}
		if err := os.WriteFile(filepath.Join(sources[0], "new"), nil, 0o644); err == nil {
			t.Errorf("%+v: can be written", c)
		}
		if users := m.ImageUsers("sha256:" + c.ref); len(users) != 1 || users[0] != "c1" {
			t.Errorf("users of %s: %v", c.ref, users)
		}
		m.Unmounted("c1")
		wantMounted(t, sources[0], false)
		check(t, m.Release(ctx, "c1", true))
	}
}
