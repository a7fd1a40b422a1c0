//go:build !windows

package daemon

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// addedFolders are where Debian, Fedora, Arch and SUSE want a user's own certificates.
var addedFolders = []string{
	"/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors", "/etc/ca-certificates/trust-source/anchors", "/etc/pki/trust/anchors",
}

// addedCAs are the certificates in PEM that the user added to the system's. What cannot be read is not trusted.
func addedCAs() (out []byte) {
	if runtime.GOOS == "darwin" {
		out, _ = exec.Command("/usr/bin/security", "find-certificate", "-a", "-p", "/Library/Keychains/System.keychain").Output()
		return out
	}
	for _, dir := range addedFolders {
		_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() <= maxCAs {
				data, _ := os.ReadFile(path)
				out = append(append(out, data...), '\n')
			}
			return nil
		})
	}
	return out
}
