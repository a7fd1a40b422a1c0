package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// guestFolders belong to the guest itself: a share mounted there would take its own files away.
var guestFolders = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/var/lib/naru"}

// checkShare refuses folders that cannot be mounted in the guest at the same path.
func checkShare(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return fmt.Errorf("share %s: not a clean absolute path", path)
	}
	if path == "/" || path == "/var" || path == "/var/lib" {
		return fmt.Errorf("share %s: the machine has its own; share a folder below it", path)
	}
	for _, own := range guestFolders {
		if within(own, path) {
			return fmt.Errorf("share %s: %s is the machine's own", path, own)
		}
	}
	return nil
}

// within tells whether path is dir or lies below it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// defaultShares are the user's home folder and the working folder, where they can be shared.
func defaultShares() []Share {
	var dirs []string
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, home)
	}
	if cwd, err := os.Getwd(); err == nil {
		dirs = append(dirs, cwd)
	}
	shares := []Share{}
	for _, dir := range dirs {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil || checkShare(real) != nil {
			continue
		}
		inOther := slices.ContainsFunc(shares, func(s Share) bool { return within(s.Path, real) })
		if info, err := os.Stat(real); err == nil && info.IsDir() && !inOther {
			shares = append(shares, Share{Path: real})
		}
	}
	return shares
}
