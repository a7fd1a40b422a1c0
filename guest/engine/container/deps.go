package container

import (
	"context"
	"log/slog"
	"net"

	"github.com/moby/moby/api/types/container"
	mobynet "github.com/moby/moby/api/types/network"

	"naru/guest/engine/event"
	"naru/guest/engine/image"
	"naru/guest/engine/journal"
	"naru/guest/engine/network"
	"naru/guest/keeper/keeperapi"
	"naru/guest/logfile"
	"naru/guest/runtime"
)

// Keeper is the parent of all processes; keeperapi.Client is one.
type Keeper interface {
	Start(ctx context.Context, id string, s keeperapi.Start) (*keeperapi.Process, *net.UnixConn, error)
	Attach(ctx context.Context, id string, a keeperapi.Attach) (*net.UnixConn, *logfile.Position, error)
	Signal(ctx context.Context, id string, signal int) error
	Resize(ctx context.Context, id string, rows, cols uint16) error
	List(ctx context.Context) ([]keeperapi.Process, error)
	Watch(ctx context.Context, heard func(keeperapi.Exit)) error
	Forget(ctx context.Context, id string) error
}

// Images is the image store.
type Images interface {
	Resolve(ctx context.Context, ref string) (*image.Image, error)
	Layers(ctx context.Context, imageID string) ([]string, error)
	Commit(ctx context.Context, o image.CommitOptions) (*image.Image, error)
	Released(imageID string)
}

// Networks gives containers their network.
type Networks interface {
	Restore(ctx context.Context, running []string) error
	Validate(req network.Request) error
	Attach(ctx context.Context, req network.Request) (*network.Sandbox, error)
	Detach(ctx context.Context, containerID string) error
	Connections
}

// Connections changes the networks of containers that are there.
type Connections interface {
	Name(ref string) string
	Inspect(ref string) (*mobynet.Inspect, error)
	Check(req network.Request, ref string, s *mobynet.EndpointSettings) (name string, known *mobynet.EndpointSettings, err error)
	Connect(ctx context.Context, req network.Request, ref string, s *mobynet.EndpointSettings) (*network.Sandbox, error)
	Disconnect(ctx context.Context, req network.Request, ref string) (*network.Sandbox, error)
	Rename(containerID, name string) error
	Sandbox(containerID string) *network.Sandbox
}

// Volumes gives containers their mounts.
type Volumes interface {
	Validate(cfg *container.Config, hc *container.HostConfig) error
	Resolve(ctx context.Context, containerID string, cfg *container.Config, hc *container.HostConfig,
		rootfs func() (string, error)) ([]runtime.Mount, []container.MountPoint, error)
	Look(ctx context.Context, containerID string, cfg *container.Config, hc *container.HostConfig) ([]runtime.Mount, func(), error)
	Unmounted(containerID string)
	Release(ctx context.Context, containerID string, removeAnonymous bool) error
}

// Options say what a Manager works with. All are needed.
type Options struct {
	Root     string // the engine's root: containers/<id> and trash are in it
	Run      string // a tmpfs: bundles/<id> and rootfs/<id> are in it
	Cgroup   string // parent of all containers' cgroups: "/naru0"
	InitPath string // static init program for --init; "" when there is none
	Runtime  runtime.Crun
	Remap    *runtime.IDMap // user namespaces by default; nil for none
	// LogConfig is for containers that name no log driver; zero is json-file without options.
	LogConfig container.LogConfig
	Keeper    Keeper
	Images    Images
	Networks  Networks
	Volumes   Volumes
	Store     journal.Store
	Events    *event.Bus
	Log       *slog.Logger
}
