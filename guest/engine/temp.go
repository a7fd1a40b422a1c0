package engine

import (
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/mount"

	"naru/guest/engine/mounted"
)

// useTemp makes dir the place of this process's temporary files and mounts. Libraries make them for what lasts as long as a
// call: layers that are compared, a build's secrets and sockets. An engine that is killed leaves them, so they are where
// the next one finds them and not in the host's /tmp. It removes those that are there.
func useTemp(dir string) error {
	if err := mounted.Remove(dir); err != nil {
		return fmt.Errorf("remove temporary files: %w", err)
	}
	if err := os.MkdirAll(dir, 0o711); err != nil { // steps that are not root get through to their secrets
		return fmt.Errorf("make folder of temporary files: %w", err)
	}
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return err
	}
	return mount.SetTempMountLocation(dir)
}
