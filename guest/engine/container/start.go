package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"naru/guest/engine/network"
	"naru/guest/keeper/keeperapi"
	"naru/guest/runtime"
)

// Start runs a container that is not running. It returns when its first process runs.
func (m *Manager) Start(ctx context.Context, ref string) error {
	c, err := m.find(ref)
	if err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	c.mu.Lock()
	if err = c.canStartLocked(); err == nil {
		c.State.RestartCount, c.State.Backoff = 0, 0
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return m.start(ctx, c)
}

// start does the work of Start, and runs again what waits to be restarted. c.op is held, and the state was asked. A
// failure is recorded in the container, and removes it when it is one to be removed on exit.
func (m *Manager) start(ctx context.Context, c *Container) error {
	if m.life.Err() != nil {
		return errdefs.ErrUnavailable.WithMessage("the engine is stopping")
	}
	c.mu.Lock()
	streams := c.takePending()
	c.mu.Unlock()
	// A client that goes away in the middle does not leave half a container behind.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	r := &launch{m: m, c: c, streams: streams}
	if err := r.run(ctx); err != nil {
		r.undo(ctx)
		for _, a := range streams {
			a.abandon()
		}
		return m.startFailed(ctx, c, err)
	}
	m.updateLinks(c)
	m.emit(c, events.ActionStart)
	return nil
}

// startTimeout bounds a start as a whole: an image on a slow disk, a busy host.
const startTimeout = 2 * time.Minute

func (c *Container) canStartLocked() error {
	if c.gone {
		return errdefs.ErrNotFound.WithMessage("No such container: " + c.ID)
	}
	return c.State.canStart()
}

// launch is one start and what it has made so far.
type launch struct {
	m       *Manager
	c       *Container
	streams []*attachment // given to the process from its first byte on

	fs     rootfs
	box    *network.Sandbox
	bundle string
}

func (l *launch) run(ctx context.Context) (err error) {
	m, c := l.m, l.c
	if err := m.checkUserns(c.HostConfig); err != nil { // the setting may be another one than at its creation
		return err
	}
	join, err := m.joined(c)
	if err != nil {
		return err
	}
	if l.box, err = m.Networks.Attach(ctx, m.networkRequest(c, join.net)); err != nil {
		return err
	}
	user, err := m.userNS(c, l.box.Path)
	if err != nil {
		return err
	}
	if user != nil {
		defer user.Close() // the process has it by then
	}
	mounts, points, err := l.files(ctx, user)
	if err != nil {
		return err
	}
	if err := l.describe(join, user, mounts); err != nil {
		return err
	}
	c.mu.Lock()
	c.Mounts, c.Networks, c.Ports, c.NetNS = points, l.box.Networks, l.box.Ports, l.box.Path
	c.mu.Unlock()
	// An engine that is killed now is followed by one that finds the process at the keeper, and its network here.
	if err := m.save(c, false); err != nil {
		return err
	}
	return l.exec(ctx)
}

// files mounts the root file system and finds the mounts in it; what inspect shows of them is points.
func (l *launch) files(ctx context.Context, user *os.File) ([]runtime.Mount, []container.MountPoint, error) {
	m, c := l.m, l.c
	var err error
	if l.fs, err = m.mountRootfs(ctx, c, user); err != nil {
		return nil, nil, err
	}
	mounts, points, err := m.Volumes.Resolve(ctx, c.ID, c.Config, c.HostConfig, func() (string, error) { return l.fs.path, nil })
	if err != nil {
		return nil, nil, err
	}
	if mounts, err = m.writeFiles(c, l.box, mounts); err != nil {
		return nil, nil, err
	}
	if user != nil {
		err = m.shiftMounts(user, mounts)
	}
	return mounts, points, err
}

// describe writes the bundle.
func (l *launch) describe(join joins, user *os.File, mounts []runtime.Mount) error {
	m, c := l.m, l.c
	l.bundle = m.bundlePath(c.ID)
	if c.HostConfig.CgroupParent != "" {
		if err := m.Runtime.ClaimParents(m.cgroupFor(c.ID, c.HostConfig)); err != nil {
			return fmt.Errorf("cgroup parent: %w", err)
		}
	}
	rc := m.runtimeContainer(c, l.fs.path, l.box.Path, join, mounts)
	if user != nil {
		rc.UserNS = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), user.Fd())
	}
	spec, err := runtime.Spec(rc)
	if err != nil {
		// As dockerd: what only shows at the start is no error of the request to start.
		return errdefs.ErrUnknown.WithMessage(err.Error())
	}
	if user != nil {
		// crun opens it as the container's root, who may not pass through the folders above ours.
		if spec.Root.Path, err = filepath.Rel(l.bundle, l.fs.path); err != nil {
			return err
		}
	}
	return writeBundle(l.bundle, spec)
}

// exec hands the bundle to the keeper and records that the container runs.
func (l *launch) exec(ctx context.Context) error {
	m, c := l.m, l.c
	log, logConfig, err := c.logConfig()
	if err != nil {
		return err
	}
	start := keeperapi.Start{
		PidFile:   filepath.Join(l.bundle, "pid"),
		Stdin:     c.Config.OpenStdin,
		StdinOnce: c.Config.StdinOnce,
		Log:       log,
		LogConfig: logConfig,
		Durable:   c.durable(),
	}
	if c.Config.Tty {
		start.ConsoleSocket = m.consoleSocket(c.ID)
		start.Rows, start.Cols = uint16(c.HostConfig.ConsoleSize[0]), uint16(c.HostConfig.ConsoleSize[1])
	}
	start.Args = m.Runtime.RunArgs(c.ID, l.bundle, start.PidFile, start.ConsoleSocket)
	if len(l.streams) > 0 {
		start.Attach = &l.streams[0].want
		for _, a := range l.streams[1:] {
			a.await(ctx, m.Keeper, c.ID)
		}
	}
	process, stream, err := m.Keeper.Start(ctx, c.ID, start)
	if err != nil {
		return err
	}
	if stream != nil {
		l.streams[0].begin(stream)
	}
	c.mu.Lock()
	c.State.start(process.Pid, process.Started)
	c.resetHealth()
	c.keepOnExit, c.oomKills = false, 0 // they were of the run before
	c.mu.Unlock()
	if err := m.save(c, c.durable()); err != nil {
		// It runs, and the keeper knows; a new engine takes it over from there.
		m.Log.Error("record started container", "id", c.ID, "error", err)
	}
	m.watchMemoryOf(c)
	c.mu.Lock()
	m.watchHealth(c, false)
	c.mu.Unlock()
	return nil
}

// undo takes back what run has made.
func (l *launch) undo(ctx context.Context) {
	if l.box != nil {
		if err := l.m.Networks.Detach(ctx, l.c.ID); err != nil {
			l.m.Log.Warn("detach network", "id", l.c.ID, "error", err)
		}
	}
	if l.bundle != "" {
		l.m.cleanRun(l.c.ID, l.m.cgroupFor(l.c.ID, l.c.HostConfig))
	}
	l.fs.unmount(l.m)
	l.m.Volumes.Unmounted(l.c.ID)
}

// startFailed records a failed start and returns what the user is told.
func (m *Manager) startFailed(ctx context.Context, c *Container, cause error) error {
	code, err := explainStart(cause, c.record.firstArg())
	c.mu.Lock()
	waited := c.State.Status == container.StateRestarting
	c.State.failStart(code, err)
	c.Networks, c.Ports, c.NetNS = nil, nil, ""
	c.mu.Unlock()
	if c.HostConfig.AutoRemove {
		if removeErr := m.removeStopped(ctx, c, true); removeErr != nil {
			return errors.Join(err, removeErr)
		}
		return err
	}
	if saveErr := m.save(c, false); saveErr != nil {
		m.Log.Warn("record failed start", "id", c.ID, "error", saveErr)
	}
	if waited { // it ran until now, for those who wait for its end
		c.notifyEnd()
	}
	return err
}

func (r *record) firstArg() string {
	path, _ := r.command()
	return path
}

// writeBundle writes the bundle folder on the run tmpfs.
func writeBundle(dir string, spec any) error {
	data, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode spec: %w", err)
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return fmt.Errorf("make bundle: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// cleanRuntime removes what crun and we keep of a container that does not run: state, cgroups, bundle.
func (m *Manager) cleanRuntime(id string) { m.cleanRun(id, m.cgroup(id)) }

func (m *Manager) cleanRun(id, cgroup string) {
	if err := m.Runtime.Cleanup(id, cgroup); err != nil {
		m.Log.Warn("clean up after container", "id", id, "error", err)
	}
	m.Runtime.FreeParents(cgroup)
	if err := m.unmountShm(id); err != nil {
		m.Log.Warn("unmount shared /dev/shm", "id", id, "error", err)
	}
	_ = os.Remove(m.consoleSocket(id)) // the keeper has removed it, unless it was killed
	if err := os.RemoveAll(m.bundlePath(id)); err != nil {
		m.Log.Warn("remove bundle", "id", id, "error", err)
	}
}

// consoleSocket is where the terminal of a process is handed over: unix sockets allow 107 bytes, so the name is short.
func (m *Manager) consoleSocket(id string) string { return filepath.Join(m.Run, "tty-"+id[:16]) }
