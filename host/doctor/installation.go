package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/docker/go-units"

	"naru/platform/ipc"
	"naru/platform/paths"
)

// parts are the programs beside naru: what they are for, and in which context.
var parts = []struct{ name, does, context string }{
	{"naru-keeper", "keeps containers on Linux", "direct"},
	{"naru-engine", "runs containers on Linux", "direct"},
	{"crun", "starts containers on Linux", "direct"},
	{"naru-machine", "runs the VM", "machine"},
	{"docker-buildx", "does naru build", ""},
	{"docker-compose", "does naru compose", ""},
}

// minFree is the free space in bytes under which images soon do not fit any more.
const minFree = 5 << 30

func (r *Report) installation(o Options) {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		r.add("naru", "programs", Problem, "", "this program does not find itself: %v", err)
		return
	}
	dir := filepath.Dir(self)
	missing := false
	for _, part := range parts {
		if part.context == "direct" && runtime.GOOS != "linux" {
			continue
		}
		name := part.name
		if runtime.GOOS == "windows" {
			name += ".exe"
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			missing = true
			fix := "install naru again, whole"
			if part.context == "" {
				fix = "make plugins, or install the whole package"
			}
			r.add("naru", "programs", r.lacking(part.context), fix, "%s, which %s, is not in %s", name, part.does, dir)
		}
	}
	if !missing {
		r.add("naru", "programs", OK, "", "all of naru %s is in %s", o.Version, dir)
	}
	r.home(o.Home)
}

// home looks at the installation's folder.
func (r *Report) home(home paths.Home) {
	dir := existing(home.String())
	if free, err := freeSpace(dir); err == nil {
		text := units.BytesSize(float64(free)) + " are free for naru's data"
		if free < minFree {
			r.add("naru", "disk", Problem, "naru system prune --all, or set NARU_HOME to a folder on a larger disk", "only %s in %s", text, home)
		} else {
			r.add("naru", "disk", OK, "", "%s in %s", text, home)
		}
	}
	for _, socket := range []string{home.DirectSocket(), home.MachineControl()} {
		if err := ipc.CheckPath(socket); err != nil {
			r.add("naru", "folder", Problem, "set NARU_HOME to a shorter path", "%v", err)
			return
		}
	}
	if err := writable(dir); err != nil {
		r.add("naru", "folder", r.lacking("machine"), "sudo naru …, or set NARU_HOME to a folder of yours", "%s cannot be written: %v", dir, err)
	}
}

// existing is path or its nearest folder that exists.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path
		}
		parent := filepath.Dir(path)
		if parent == path {
			return path
		}
		path = parent
	}
}

// writable makes a file and removes it.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".naru-doctor-*")
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "open "))
	}
	_ = f.Close()
	return os.Remove(f.Name())
}
