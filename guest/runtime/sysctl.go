package runtime

import (
	"path"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// ipcSysctls belong to the IPC namespace, as do all below fs.mqueue.
var ipcSysctls = map[string]bool{
	"kernel.msgmax": true, "kernel.msgmnb": true, "kernel.msgmni": true, "kernel.sem": true, "kernel.shmall": true,
	"kernel.shmmax": true, "kernel.shmmni": true, "kernel.shm_rmid_forced": true,
}

// checkSysctls refuses settings that are not the container's own: they would change the host. Docker's runtime says so
// at the start, in these words.
func checkSysctls(hc *container.HostConfig) error {
	ownNet := !hc.NetworkMode.IsHost()
	ownIPC := !hc.IpcMode.IsHost()
	for key := range hc.Sysctls {
		name := strings.ReplaceAll(key, "/", ".") // both separators are in use
		switch {
		case strings.Contains(key, "/") && path.Clean("/"+key) != "/"+key:
			return invalid("invalid sysctl %q", key)
		case ipcSysctls[name] || strings.HasPrefix(name, "fs.mqueue."):
			if !ownIPC {
				return invalid("sysctl %q is not allowed in the hosts ipc namespace", key)
			}
		case strings.HasPrefix(name, "net."):
			if !ownNet {
				return invalid("sysctl %q not allowed in host network namespace", key)
			}
		case name == "kernel.domainname" || name == "kernel.hostname":
			if hc.UTSMode.IsHost() {
				return invalid("sysctl %q is not allowed in the hosts uts namespace", key)
			}
			if name == "kernel.hostname" {
				return invalid("sysctl %q is not allowed as it conflicts with the OCI %q field", key, "hostname")
			}
		default:
			return invalid("sysctl %q is not in a separate kernel namespace", key)
		}
	}
	return nil
}
