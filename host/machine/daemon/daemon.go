// Package daemon is naru-machine: the one process that owns the VM, its network, its ports, its shares and its clock.
//
//	lock ─▶ control.sock and docker.sock listen ─▶ boot ─▶ running ─▶ stopping ─▶ everything is gone, the lock last
//
// docker.sock listens before the VM has booted, and its connections wait: a client needs to know nothing of a machine
// that is just starting. When the boot fails each of them gets the reason as an HTTP answer.
//
// Nothing here is kept from one run to the next but the data disk: ports are asked for anew by the engine, the boot
// token is drawn anew, and whatever a killed daemon left is replaced.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"naru/host/forward"
	"naru/host/machine"
	"naru/host/network"
	"naru/platform"
	"naru/platform/ipc"
	"naru/platform/paths"
)

// Options say what Run runs.
type Options struct {
	Home    paths.Home
	Version string
	Log     *slog.Logger
	// Started is called once: when the sockets listen, or with what is in the way (Run returns the same then).
	Started func(machine.Started)
	// Choose picks the backend; backend.Choose in naru-machine.
	Choose func(ctx context.Context, want, arch string) (platform.Backend, platform.Report, error)
	// Image is the VM image to boot.
	Image *Image
}

// Daemon is a running naru-machine.
type Daemon struct {
	o        Options
	log      *slog.Logger
	started  time.Time
	settings *machine.Settings
	token    string
	state    *tracker
	rest     *rest

	docker, control net.Listener
	network         *network.Network
	ports           *forward.Forwarder

	mu     sync.Mutex // guards what follows, all of which boot sets
	vm     platform.VM
	name   string // of the backend
	report platform.Report
	boot   time.Duration
	// bootBegan is when this boot did: with the process, or with a wake-up.
	bootBegan time.Time
	shares    []share
}

// Run is naru-machine from the lock to the last clean-up. It ends when ctx does (the guest is stopped in order), when
// a client asks for it, when the boot fails, or when the VM ends by itself. The error is that of the machine; being
// stopped is none.
func Run(ctx context.Context, o Options) error {
	d := &Daemon{o: o, log: o.Log, started: time.Now(), bootBegan: time.Now(), state: newTracker(), rest: newRest()}
	lock, err := d.open()
	if err != nil {
		o.Started(machine.Started{Locked: errors.Is(err, ipc.ErrLocked), Error: err.Error()})
		return err
	}
	o.Started(machine.Started{})
	err = d.serve(ctx)
	d.log.Info("naru-machine ends", "error", err)
	return errors.Join(err, lock.Unlock())
}

// open takes the lock and the sockets.
func (d *Daemon) open() (_ *ipc.Lock, err error) {
	home := d.o.Home
	if err := os.MkdirAll(home.Machine(), 0o700); err != nil {
		return nil, err
	}
	lock, err := ipc.TryLock(home.MachineLock())
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.closeListeners()
			_ = lock.Unlock()
		}
	}()
	if d.settings, err = machine.LoadSettings(home); err != nil {
		return nil, err
	}
	if err := emptyFolder(home.MachineRun()); err != nil {
		return nil, err
	}
	if d.docker, err = ipc.Listen(home.MachineSocket()); err != nil {
		return nil, err
	}
	if d.control, err = ipc.Listen(home.MachineControl()); err != nil {
		return nil, err
	}
	return lock, nil
}

func emptyFolder(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o700)
}

func (d *Daemon) closeListeners() {
	for _, ln := range []net.Listener{d.docker, d.control} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// serve boots the VM and answers clients until the machine's end.
func (d *Daemon) serve(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	clients := newClients()
	clients.listen(d.docker, d.serveDocker)
	clients.listen(d.control, d.serveControl)
	d.ports = forward.New(d.log, d.dialEngine, d.sockets())
	err = d.lifetimes(ctx)
	// Who watches hears the end before the connection closes; who waits for a stop sees the lock fall.
	if err != nil {
		d.state.set(machine.StateFailed, "", err)
	} else {
		d.state.set(machine.StateStopped, "", nil)
	}
	d.closeListeners()
	d.ports.Close()
	clients.finish(2 * time.Second)
	return err
}

// lifetime is the VM's: from its boot to its end, which may be a rest.
func (d *Daemon) lifetime(ctx context.Context) (resting bool, err error) {
	net, err := network.New(d.log)
	if err != nil {
		return false, err
	}
	d.network = net
	defer net.Close()

	// A stop during the boot ends the boot.
	bootCtx, cancelBoot := context.WithCancelCause(ctx)
	stopped := context.AfterFunc(d.state.stopping, func() { cancelBoot(errStopped) })
	defer stopped()
	defer cancelBoot(nil)
	run, err := d.bootVM(bootCtx)
	if err != nil {
		if ctx.Err() != nil || d.state.stopping.Err() != nil {
			return false, nil
		}
		return false, err
	}
	defer run.end()
	d.log.Info("ready", "after", d.boot.Round(time.Millisecond))
	d.state.set(machine.StateRunning, "", nil)
	readyAt := time.Now()

	work, cancelWork := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { d.publish(work) })
	wg.Go(func() { d.keepTime(work) })
	wg.Go(func() { d.keepShares(work) })
	wg.Go(func() { d.watchShares(work) })
	rested := make(chan struct{})
	wg.Go(func() {
		if d.awaitRest(work) {
			close(rested)
		}
	})
	defer wg.Wait()
	defer cancelWork()

	select {
	case <-run.ended:
		if err := run.unexpected(); err != nil {
			return false, &diedError{err, time.Since(readyAt)}
		}
		return false, nil
	case <-rested:
		d.powerOff(run)
		return true, nil
	case <-ctx.Done():
	case <-d.state.stopping.Done():
	}
	d.state.set(machine.StateStopping, "stop the containers", nil)
	d.powerOff(run)
	return false, nil
}

var errStopped = errors.New("the machine was stopped")

// offTime is how long a guest may take to stop its containers, sync and power off.
const offTime = 90 * time.Second

// powerOff asks the guest to power itself off, and pulls the plug when it does not.
func (d *Daemon) powerOff(run *run) {
	if !d.state.killed.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), offTime)
		defer cancel()
		kill := context.AfterFunc(d.state.killNow, cancel) // a second, impatient stop
		defer kill()
		err := d.askPoweroff(ctx)
		if err == nil {
			select {
			case <-run.ended:
				return
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		d.log.Warn("the guest does not power off; killing it", "error", err)
	}
	run.vm.Kill()
	<-run.ended
}

func (d *Daemon) machine() platform.VM {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.vm
}

// describe is an error about the machine's end with the last words of its console.
func (d *Daemon) describe(what string, err error) error {
	if line := lastLine(d.o.Home.MachineConsole()); line != "" {
		return fmt.Errorf("%s: %w (the console ends with %q; it is in %s)", what, err, line, d.o.Home.MachineConsole())
	}
	return fmt.Errorf("%s: %w", what, err)
}
