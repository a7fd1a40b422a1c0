package runtime

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ClaimParents notes which cgroups above cgroupPath are missing, so that FreeParents removes those that the container's
// start makes and no other. The notes lie beside crun's state and go with it.
func (c Crun) ClaimParents(cgroupPath string) error {
	for dir := path.Dir(cgroupPath); dir != "/"; dir = path.Dir(dir) {
		if cgroupExists(dir) {
			return nil
		}
		if err := os.MkdirAll(c.claims(), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(c.claim(dir), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// FreeParents removes the claimed cgroups above cgroupPath that nothing is in any more.
func (c Crun) FreeParents(cgroupPath string) {
	for dir := path.Dir(cgroupPath); dir != "/"; dir = path.Dir(dir) {
		if _, err := os.Stat(c.claim(dir)); err != nil {
			return
		}
		for _, m := range cgroupMounts() {
			err := unix.Rmdir(filepath.Join(m.path, dir))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return // in use by others
			}
		}
		if hidden() != "" {
			_ = os.RemoveAll(filepath.Join(hidden(), dir))
		}
		_ = os.Remove(c.claim(dir))
	}
}

func (c Crun) claims() string { return filepath.Join(filepath.Dir(c.Root), "cgroups") }

func (c Crun) claim(dir string) string { return filepath.Join(c.claims(), url.PathEscape(dir)) }

func cgroupExists(dir string) bool {
	for _, m := range cgroupMounts() {
		if exists(filepath.Join(m.path, dir)) {
			return true
		}
	}
	return false
}
