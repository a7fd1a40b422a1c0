// Package paths knows where an installation keeps things: NARU_HOME, its default on each OS, and the name of every
// file under it. It touches no file; docs/state.md says who writes what.
package paths

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// EnvHome is the environment variable that moves an installation elsewhere. Installations with different folders
// live side by side and know nothing of each other.
const EnvHome = "NARU_HOME"

// DefaultName is the name of the installation in the default folder, and of the one in the VM.
const DefaultName = "naru0"

// Home is an installation folder, an absolute and clean path.
type Home string

// FromEnv is the folder NARU_HOME names, else the default one. A relative NARU_HOME is taken from the working
// folder.
func FromEnv() (Home, error) {
	if dir := os.Getenv(EnvHome); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("resolve %s: %w", EnvHome, err)
		}
		return Home(abs), nil
	}
	return Default()
}

// Default is the installation folder when NARU_HOME is not set: /var/lib/naru for root on Linux, %LOCALAPPDATA%\naru
// on Windows, .naru in the user's home folder everywhere else.
func Default() (Home, error) {
	dir, err := defaultHome()
	if err != nil {
		return "", fmt.Errorf("find the home folder: %w", err)
	}
	return Home(filepath.Clean(dir)), nil
}

// Name is what everything outside the folder is named after: bridge, nftables table, cgroup, pipes. At most 13
// characters: naru0 for the default folder, else naru- and 8 hex digits of the path's SHA-256.
func (h Home) Name() string {
	if def, err := Default(); err == nil && def == h {
		return DefaultName
	}
	return h.hashName()
}

func (h Home) hashName() string {
	sum := sha256.Sum256([]byte(h))
	return "naru-" + hex.EncodeToString(sum[:4])
}

// String is the path itself.
func (h Home) String() string { return string(h) }

// The direct engine's files.

// DirectSocket is the direct engine's API socket.
func (h Home) DirectSocket() string { return h.join("docker.sock") }

// Engine is the direct engine's root folder.
func (h Home) Engine() string { return h.join("engine") }

// MachineAgent is a link to the ssh-agent of the terminal in which the CLI was used last.
func (h Home) MachineAgent() string { return h.join("machine", "ssh-agent") }

// KeeperLock is the lock that naru-keeper holds for as long as it lives.
func (h Home) KeeperLock() string { return h.join("engine", "keeper.lock") }

// KeeperLog is the log of keeper and engine.
func (h Home) KeeperLog() string { return h.join("engine", "keeper.log") }

// The machine's files.

// Machine is the folder of the VM and its daemon.
func (h Home) Machine() string { return h.join("machine") }

// MachineSocket is where naru-machine serves the Docker API of the VM: a unix socket, on Windows a named pipe.
func (h Home) MachineSocket() string { return h.endpoint("docker") }

// MachineControl is where naru-machine takes commands: a unix socket, on Windows a named pipe.
func (h Home) MachineControl() string { return h.endpoint("control") }

// MachineLock is the lock that naru-machine holds for as long as it lives.
func (h Home) MachineLock() string { return h.join("machine", "lock") }

// MachineSettings is the user's settings of the VM, JSON.
func (h Home) MachineSettings() string { return h.join("machine", "machine.json") }

// MachineData is the VM's data disk, a sparse file.
func (h Home) MachineData() string { return h.join("machine", "data.img") }

// MachineIdentity is who the VM is to a hypervisor that asks for it.
func (h Home) MachineIdentity() string { return h.join("machine", "identity") }

// MachineConfig is the config drive, made anew for each boot.
func (h Home) MachineConfig() string { return h.join("machine", "config.iso") }

// MachineConsole is what the VM's kernel wrote to its console since its last start.
func (h Home) MachineConsole() string { return h.join("machine", "console.log") }

// MachineLog is naru-machine's own log.
func (h Home) MachineLog() string { return h.join("machine", "machine.log") }

// MachineRun is a folder of sockets between naru-machine and its children; emptied at each start.
func (h Home) MachineRun() string { return h.join("machine", "run") }

func (h Home) join(elem ...string) string {
	return filepath.Join(append([]string{string(h)}, elem...)...)
}
