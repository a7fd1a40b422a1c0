package volume

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/volume"
	"golang.org/x/sys/unix"
)

func TestBackup(t *testing.T) {
	needRoot(t)
	ctx := context.Background()
	running := map[string]bool{}
	m := open(t, t.TempDir(), func(o *Options) { o.Running = func(id string) bool { return running[id] } })
	_, err := m.Create(ctx, volume.CreateRequest{Name: "data"})
	check(t, err)
	data := m.data("data")
	write(t, filepath.Join(data, "deep/f"), "content")
	check(t, os.Link(filepath.Join(data, "deep/f"), filepath.Join(data, "g")))
	check(t, os.Symlink("/etc/passwd", filepath.Join(data, "out")))
	check(t, unix.Chown(data, 12, 34))
	check(t, unix.Chmod(data, 0o2750))

	for _, compression := range []string{"", "gzip", "zstd"} {
		var out bytes.Buffer
		check(t, m.Export(ctx, "data", compression, func() io.Writer { return &out }))
		name := "copy" + compression
		check(t, m.Import(ctx, name, bytes.NewReader(out.Bytes()), false))
		if got, err := os.ReadFile(filepath.Join(m.data(name), "g")); err != nil || string(got) != "content" {
			t.Errorf("%s: %q, %v", compression, got, err)
		}
		var st unix.Stat_t
		check(t, unix.Stat(m.data(name), &st))
		if st.Uid != 12 || st.Gid != 34 || st.Mode&0o7777 != 0o2750 {
			t.Errorf("%s: the volume's folder is %d:%d %o", compression, st.Uid, st.Gid, st.Mode&0o7777)
		}
		// A second import needs to be asked for twice.
		err := m.Import(ctx, name, bytes.NewReader(out.Bytes()), false)
		if !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("into a volume with files: %v", err)
		}
		check(t, m.Import(ctx, name, bytes.NewReader(out.Bytes()), true))
	}

	// What fails leaves nothing; who runs is not disturbed.
	if err := m.Import(ctx, "broken", strings.NewReader("no archive at all, whatever it is, but long enough to be a header of one"), false); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a bad archive: %v", err)
	}
	if _, err := m.Get("broken"); !errdefs.IsNotFound(err) {
		t.Errorf("the volume of a failed import is there: %v", err)
	}
	if err := m.Export(ctx, "broken", "", func() io.Writer { t.Error("it begins"); return io.Discard }); !errdefs.IsNotFound(err) {
		t.Errorf("export of nothing: %v", err)
	}
	if err := m.Export(ctx, "data", "rar", func() io.Writer { t.Error("it begins"); return io.Discard }); !errdefs.IsInvalidArgument(err) {
		t.Errorf("unknown compression: %v", err)
	}
	_, err = start(t, m, "c1", &container.HostConfig{Binds: []string{"copy:/x"}})
	check(t, err)
	running["c1"] = true
	if err := m.Import(ctx, "copy", strings.NewReader(""), true); !errdefs.IsConflict(err) {
		t.Errorf("while a container runs with it: %v", err)
	}
}
