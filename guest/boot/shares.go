package boot

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// taken are folders of the guest that a share must not cover, nor lie in: the guest would lose what it runs on, or the
// share would hide in a file system of the kernel's. /tmp and the like are fine: shares are mounted after them.
var taken = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", Root}

// mountShares mounts each folder of the host at its own path, outer ones first.
func mountShares(shares []api.Share) error {
	sorted := slices.Clone(shares)
	slices.SortFunc(sorted, func(a, b api.Share) int { return strings.Compare(a.Path, b.Path) })
	for _, s := range sorted {
		if err := checkShare(s.Path); err != nil {
			return err
		}
		m := mount{source: s.Tag, target: s.Path, fstype: s.Type}
		switch s.Type {
		case "virtiofs":
		case "9p":
			m.data = []string{"trans=virtio,version=9p2000.L,msize=524288,cache=loose"}
		default:
			return fmt.Errorf("share %s: unknown type %q", s.Path, s.Type)
		}
		if s.ReadOnly {
			m.flags |= unix.MS_RDONLY
		}
		if err := m.mount(); err != nil {
			return err
		}
	}
	return nil
}

// checkShare refuses a path that the guest needs itself.
func checkShare(p string) error {
	if !path.IsAbs(p) || path.Clean(p) != p || p == "/" {
		return fmt.Errorf("share %q: not the absolute path of a folder below /", p)
	}
	for _, t := range taken {
		if p == t || strings.HasPrefix(p, t+"/") || strings.HasPrefix(t, p+"/") {
			return fmt.Errorf("share %s: the VM has its own %s", p, t)
		}
	}
	return nil
}
