package build

import (
	"fmt"
	"path/filepath"

	"naru/guest/engine/mounted"
	"naru/guest/runtime"
)

// run is where the bundles, mounts and crun's state of steps are.
func (b *Builder) run() string { return filepath.Join(b.Run, "build") }

// EndSteps ends the steps of an engine that was killed, and removes their cgroups, mounts and crun's state of them: their
// runtime died with it, they did not. It opens nothing, and costs nothing where there was no builder. What they have of
// networks is the network manager's, which drops all that no container has, after this.
func (b *Builder) EndSteps() error {
	if err := runtime.RemoveCgroups(filepath.Join(b.Cgroup, "buildkit")); err != nil {
		return fmt.Errorf("end build steps: %w", err)
	}
	if err := mounted.Remove(b.run()); err != nil {
		return fmt.Errorf("remove what build steps had: %w", err)
	}
	return nil
}
