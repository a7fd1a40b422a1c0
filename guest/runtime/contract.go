// Package runtime turns a container as Docker describes it into an OCI runtime spec, and names the command lines of
// crun. It starts nothing itself: naru-keeper runs the command lines.
package runtime

import (
	"github.com/moby/moby/api/types/container"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Container is all that the spec of a container is made from.
type Container struct {
	ID         string
	Hostname   string
	Config     *container.Config     // image defaults already merged in: Env, Entrypoint, Cmd, WorkingDir, User
	HostConfig *container.HostConfig // as created
	Platform   ocispec.Platform
	Rootfs     string // mounted overlay
	NetNS      string // network namespace to join; "" is the host's own
	PIDNS      string // pid and ipc namespaces to join, for the modes "container:<id>"; "" makes new ones
	IPCNS      string
	UserNS     string // user namespace to join; "" is the host's own
	IDs        *IDMap // what UserNS maps; nil for none
	ShmPath    string // folder that is /dev/shm, shared with others or the host's; "" is one of its own
	CgroupPath string // "/naru0/<id>"
	Mounts     []Mount
	InitPath   string // static init for HostConfig.Init, bind-mounted to /sbin/docker-init; "" for none
}

// Mount is a resolved bind, volume, tmpfs or engine file (/etc/hosts, /etc/resolv.conf, /etc/hostname).
type Mount struct {
	Type        string // "bind", "tmpfs"
	Source      string // absolute host path; unused for tmpfs
	Target      string // absolute path in the container
	ReadOnly    bool
	Flat        bool     // a bind without the mounts below the source
	Propagation string   // "rprivate" when empty
	Options     []string // tmpfs: "size=64m", "mode=1777", …
}
