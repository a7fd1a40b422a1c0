//go:build !windows

package paths

import (
	"os"
	"path/filepath"
	"runtime"
)

func defaultHome() (string, error) {
	if runtime.GOOS == "linux" && os.Geteuid() == 0 {
		return "/var/lib/naru", nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".naru"), nil
}

func (h Home) endpoint(name string) string { return h.join("machine", name+".sock") }

// URL is how Docker's tools name a socket: the value of DOCKER_HOST.
func URL(socket string) string { return "unix://" + socket }
