// Package engine puts the engine together: journal, images, networks, volumes and containers, in the order in which
// they need each other, and takes them apart again.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	containertypes "github.com/moby/moby/api/types/container"

	"naru/guest/api"
	"naru/guest/engine/build"
	"naru/guest/engine/container"
	"naru/guest/engine/event"
	"naru/guest/engine/facts"
	"naru/guest/engine/image"
	"naru/guest/engine/journal"
	"naru/guest/engine/network"
	"naru/guest/engine/relay"
	"naru/guest/engine/userns"
	"naru/guest/engine/volume"
	"naru/guest/keeper/keeperapi"
	"naru/guest/runtime"
)

// Options say where an engine lives. All folders are absolute.
type Options struct {
	Root     string // data, on a disk
	Run      string // a tmpfs that lives as long as the keeper
	Name     string // of everything made outside Root: bridge, nftables table, cgroup
	Keeper   string // path of the keeper's socket
	Mode     string // api.ModeDirect or api.ModeMachine
	Crun     string // path of crun
	InitPath string // static init for --init; "" for none
	Shares   []api.Share
	// HostSockets are unix sockets of the host that may be bound, beside those in the shares.
	HostSockets []string
	// LogConfig is what container.DefaultLog made of the settings; zero is json-file without options.
	LogConfig  containertypes.LogConfig
	Registries image.Registries // have passed Check
	Remap      *runtime.IDMap   // user namespaces for containers by default; nil for none
	// Socket is where this engine's API is served, HostSocket where the user reaches it when that is elsewhere; "" for
	// none.
	Socket, HostSocket string
	Version            string
	Log                *slog.Logger
}

// Engine is all of it. The parts are safe for concurrent use.
type Engine struct {
	Options
	Events     *event.Bus
	Journal    *journal.Journal
	Images     *image.Store
	Networks   *network.Manager
	Volumes    *volume.Manager
	Containers *container.Manager
	Builds     *build.Builder
	relays     *relay.Relays // nil in direct mode
	Programs   facts.Programs
	ID         string // of this installation, for as long as its data lives
	Started    time.Time
}

// Open makes the engine and takes over what an earlier one left. The caller runs Watch, then Stop,
// and Close once Watch has ended.
func Open(ctx context.Context, o Options) (_ *Engine, err error) {
	if err := os.MkdirAll(o.Root, 0o711); err != nil {
		return nil, fmt.Errorf("open engine: %w", err)
	}
	e := &Engine{Options: o, Events: &event.Bus{}, Started: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open engine: %w", err), e.close())
		}
	}()
	if err := useTemp(filepath.Join(o.Run, "tmp")); err != nil {
		return nil, err
	}
	if e.Journal, err = journal.Open(filepath.Join(o.Root, "state.journal"), o.Log); err != nil {
		return nil, err
	}
	if e.ID, err = identity(e.Journal); err != nil {
		return nil, err
	}
	keeper, err := keeperapi.Dial(ctx, o.Keeper)
	if err != nil {
		return nil, err
	}
	e.Containers = container.New(container.Options{
		Root: o.Root, Run: o.Run, Cgroup: "/" + o.Name, InitPath: o.InitPath,
		Runtime: runtime.Crun{Path: o.Crun, Root: filepath.Join(o.Run, "crun")},
		Remap:   o.Remap, LogConfig: o.LogConfig, Keeper: keeper, Store: e.Journal, Events: e.Events, Log: o.Log,
	})
	// The others ask for the containers while they open: which images are in use, what a mount belongs to.
	if err := e.Containers.Load(); err != nil {
		return nil, err
	}
	if err := e.openParts(ctx); err != nil {
		return nil, err
	}
	if err := e.Containers.Restore(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Engine) openParts(ctx context.Context) (err error) {
	images := image.Options{Root: e.Root, Events: e.Events, Log: e.Log, InUse: e.imageUses, Registries: e.Registries}
	if e.Mode == api.ModeMachine {
		images.DialLoopback = func(ctx context.Context, addr string) (net.Conn, error) {
			return e.Networks.Publisher().Dial(ctx, addr)
		}
	}
	volumes := volume.Options{
		Root: e.Root, Run: e.Run, Store: e.Journal, Events: e.Events, Log: e.Log, Shares: e.Shares, Mode: e.Mode,
		Socket: e.Socket, SocketNames: socketNames(e.HostSocket),
		Container: e.Containers.ResolveID, Running: e.Containers.Running,
		ResolveImage: func(ctx context.Context, ref string) (string, error) {
			img, err := e.Images.Resolve(ctx, ref)
			if err != nil {
				return "", err
			}
			return img.ID, nil
		},
		ImageLayers: func(ctx context.Context, id string) ([]string, error) { return e.Images.Layers(ctx, id) },
	}
	if e.Mode == api.ModeMachine {
		dial := func(ctx context.Context, target string) (net.Conn, error) {
			return e.Networks.Publisher().DialTarget(ctx, target)
		}
		if e.relays, err = relay.New(filepath.Join(e.Run, "sockets"), dial, e.Log); err != nil {
			return err
		}
		volumes.HostSocket, volumes.HostSockets = e.relays.Socket, e.HostSockets
	}
	if e.Volumes, err = volume.Open(volumes); err != nil {
		return err
	}
	e.Images, err = image.Open(ctx, images) // its collector asks containers and volumes what is in use
	if err != nil {
		return err
	}
	networks := network.Options{Name: e.Name, Run: e.Run, Mode: e.Mode, Store: e.Journal, Events: e.Events, Log: e.Log}
	if e.Remap != nil {
		networks.NewNS = e.newNetNS
	}
	e.Networks, err = network.Open(ctx, networks)
	if err != nil {
		return err
	}
	e.Builds, err = build.New(build.Options{
		Root: e.Root, Run: e.Run, Cgroup: "/" + e.Name, Crun: e.Crun, Images: e.Images, Networks: e.Networks, Log: e.Log,
	})
	if err != nil {
		return err
	}
	if err := e.Builds.EndSteps(); err != nil {
		e.Log.Warn("a step of an earlier engine's build is left", "error", err)
	}
	e.Containers.Images, e.Containers.Volumes, e.Containers.Networks = e.Images, e.Volumes, e.Networks
	return nil
}

// newNetNS makes a network namespace that a user namespace of its own owns.
func (e *Engine) newNetNS() (*os.File, error) {
	user, net, err := userns.New(e.Remap, true)
	if err != nil {
		return nil, err
	}
	return net, user.Close() // the network namespace keeps it
}

func (e *Engine) imageUses(imageID string) []image.Use {
	var uses []image.Use
	for _, u := range e.Containers.UsesOf(imageID) {
		uses = append(uses, image.Use{Container: u.ID, Running: u.Running})
	}
	for _, id := range e.Volumes.ImageUsers(imageID) {
		uses = append(uses, image.Use{Container: id, Running: e.Containers.Running(id)})
	}
	return uses
}

// Watch hears of ended containers until ctx ends, and first starts what the restart policies want.
func (e *Engine) Watch(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Containers.StartAgain(ctx)
	}()
	err := e.Containers.Watch(ctx)
	<-done
	return err
}

// Stop stops all containers. Watch must still be running. Requests are still answered, but start nothing any more.
func (e *Engine) Stop(ctx context.Context) error { return e.Containers.Shutdown(ctx) }

// Close removes everything that is not data: networks, mounts, cgroups. All containers have stopped, and nobody
// asks anything any more.
func (e *Engine) Close(ctx context.Context) error {
	return errors.Join(e.Builds.Close(), e.Containers.Drain(ctx), e.Networks.Teardown(ctx), e.Containers.RemoveCgroup(), e.close())
}

func (e *Engine) close() error {
	var errs []error
	if e.relays != nil {
		errs = append(errs, e.relays.Close())
	}
	if e.Images != nil {
		errs = append(errs, e.Images.Close())
	}
	if e.Journal != nil {
		errs = append(errs, e.Journal.Close())
	}
	return errors.Join(errs...)
}

// socketNames are the paths that mean the engine's socket as the source of a bind: those that tools expect it at, and
// that of the user's own machine.
func socketNames(host string) []string {
	names := []string{"/var/run/docker.sock", "/run/docker.sock"}
	if host != "" {
		names = append(names, host)
	}
	return names
}
