// Package container holds the containers of the engine and their lives.
//
//	          start            exit, no policy
//	created ────────▶ running ────────────────▶ exited ──start──▶ running
//	   │                 │ ▲                      │
//	   │    exit, policy │ │ after the back-off   │
//	   │                 ▼ │                      │
//	   │             restarting ──stop──▶ exited  │
//	   └──────────────remove──────────────────────┴──▶ removing ──▶ gone (or dead, when that fails)
//
// The keeper is the parent of a container's processes and tells of their ends; what this package knows of a
// container is in the journal, so that a new engine finds it again.
package container

import (
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// kind is what a container's record is called in the journal.
const kind = "container"

// record is all that the journal holds of a container. What follows ID down to HostConfig is set at creation and
// never changed; the rest is guarded by the container's mu.
type record struct {
	ID         string
	Created    time.Time
	ImageID    string
	Platform   ocispec.Platform
	Config     *container.Config     // the image's defaults merged in
	HostConfig *container.HostConfig // as wished
	Links      []link                `json:",omitempty"` // on the default bridge

	Name   string // without the slash
	Mounts []container.MountPoint
	// Endpoints are the networks that it is on, by name, with the user's wishes; nil in another container's network.
	Endpoints map[string]*network.EndpointSettings
	Networks  map[string]*network.EndpointSettings `json:",omitempty"` // what it has of them while it runs
	Ports     network.PortMap                      `json:",omitempty"`
	NetNS     string                               `json:",omitempty"`
	State     state
	Updated   *limits `json:",omitempty"` // what update has made of HostConfig; nil for nothing
	// Health is that of the health check, nil before the first run or without one. What it points to is never changed.
	Health *container.Health `json:",omitempty"`
}

// Container is one container.
type Container struct {
	record
	dir string // Root/containers/<id>

	// op is held for as long as one of start, end and removal works on the container; mu is never held meanwhile.
	op sync.Mutex

	rootMu    sync.Mutex // guards what is said of the mounted root file system; see holdRootfs
	rootHolds int        // who looks at it beside the running container
	rootLeft  bool       // the container has no use for it: the last of them unmounts it

	mu      sync.Mutex // guards the changing part of record, and all below
	gone    bool       // removed: nothing may bring it back
	execs   map[string]*Exec
	waiters []*waiter
	pending []*attachment // streams that wait for the next start
	// cancelRestart ends a back-off; nil when there is none.
	cancelRestart func()
	execStarts    background // execs that the runtime is starting
	stopProbes    func()     // ends the health check's probes; nil when there are none
	oomKills      int        // how many processes of this run the kernel has killed for memory, as far as was told
	keepOnExit    bool       // a restart asked for by the user is under way: AutoRemove must not strike
	unfinished    bool       // an earlier engine was killed while it removed it: StartAgain goes on
}

func newContainer(root string, r record) *Container {
	return &Container{record: r, dir: filepath.Join(root, "containers", r.ID), execs: map[string]*Exec{}}
}

// durable says whether the container outlives its process, and so is worth a sync.
func (c *Container) durable() bool { return !c.HostConfig.AutoRemove }

// snapshot is the record as it is now. What it points to is never changed in place.
func (c *Container) snapshot() record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.record
}

// command is the path and arguments of the first process.
func (r *record) command() (string, []string) {
	args := slices.Concat(r.Config.Entrypoint, r.Config.Cmd)
	if len(args) == 0 {
		return "", nil
	}
	return args[0], args[1:]
}

// hostname is what the container is called inside.
func (r *record) hostname() string {
	if r.Config.Hostname != "" {
		return r.Config.Hostname
	}
	return r.ID[:12]
}
