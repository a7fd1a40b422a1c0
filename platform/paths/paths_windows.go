package paths

import (
	"os"
	"path/filepath"
	"strings"
)

func defaultHome() (string, error) {
	dir, err := os.UserCacheDir() // %LocalAppData%
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "naru"), nil
}

// endpoint names a pipe. Pipes are the whole computer's, so the name has the folder's hash even for the default
// folder: two users have different ones.
func (h Home) endpoint(name string) string { return `\\.\pipe\` + h.hashName() + "-" + name }

// URL is how Docker's tools name a pipe: the value of DOCKER_HOST.
func URL(socket string) string { return "npipe://" + strings.ReplaceAll(socket, `\`, "/") }
