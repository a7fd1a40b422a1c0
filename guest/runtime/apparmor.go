package runtime

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/profiles/apparmor"
)

// AppArmor profiles: Docker's default one, whose name users know from elsewhere, and none.
const (
	defaultProfile    = "docker-default"
	unconfinedProfile = "unconfined"
)

// AppArmorEnabled tells whether this kernel has AppArmor, and shows it here.
func AppArmorEnabled() bool {
	on, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	if err != nil || len(on) == 0 || on[0] != 'Y' {
		return false
	}
	_, err = os.ReadFile("/sys/kernel/security/apparmor/profiles")
	return err == nil
}

// profile is the AppArmor profile of a container, "" on a kernel without AppArmor: as Docker, a wish is ignored there.
func profile(opts SecurityOpt, privileged, enabled bool, install func() error) (string, error) {
	switch {
	case !enabled:
		return "", nil
	case opts.AppArmor != "" && opts.AppArmor != defaultProfile:
		return opts.AppArmor, nil
	case opts.AppArmor == "" && privileged:
		return unconfinedProfile, nil
	}
	if err := install(); err != nil {
		return "", fmt.Errorf("AppArmor enabled on system but the %s profile could not be loaded: %w", defaultProfile, err)
	}
	return defaultProfile, nil
}

// AppArmorProfile is the one that a container has when it runs.
func AppArmorProfile(hc *container.HostConfig) string {
	opts, _ := ParseSecurityOpt(hc.SecurityOpt) // was checked at creation
	name, _ := profile(opts, hc.Privileged, AppArmorEnabled(), func() error { return nil })
	return name
}

var profileMu sync.Mutex // held while the default profile is looked for and loaded

// installProfile loads Docker's default profile when it is missing: others may unload it at any time.
func installProfile() error {
	profileMu.Lock()
	defer profileMu.Unlock()
	loaded, err := apparmor.IsLoaded(defaultProfile)
	if err != nil || loaded {
		return err
	}
	if _, err := exec.LookPath("apparmor_parser"); err != nil {
		return errors.New("apparmor_parser is not installed") // LookPath's words are those of a missing command
	}
	return apparmor.InstallDefault(defaultProfile)
}
