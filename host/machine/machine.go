// Package machine is the host's side of the one Linux VM, as its clients see it: start it when it is not there, ask
// it, stop it. The work is done by naru-machine, a process of its own that outlives its clients; this package
// finds or starts it and talks to its control socket, and imports no hypervisor and no network stack. The daemon
// itself is host/machine/daemon.
package machine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"naru/platform/ipc"
	"naru/platform/paths"
)

// ErrNotRunning says that there is no machine to ask.
var ErrNotRunning = errors.New("the machine is not running")

// Ensure starts the machine of home unless it runs, waits until its engine answers, and returns the path of its
// Docker socket. progress hears of each boot step (nil: nobody does); it is not called when the machine runs already.
// Safe to call from many processes at once: one of them starts it, all wait.
func Ensure(ctx context.Context, home paths.Home, progress func(step string)) (socket string, err error) {
	if progress == nil {
		progress = func(string) {}
	}
	for {
		c, err := connectOrSpawn(ctx, home)
		if err != nil {
			return "", err
		}
		last, err := follow(ctx, c, Request{Op: OpWatch}, progress)
		switch {
		case last.State == StateRunning:
			return home.MachineSocket(), nil
		case last.State == StateFailed:
			return "", fmt.Errorf("start the machine: %s", last.Error)
		case ctx.Err() != nil:
			return "", ctx.Err()
		case last.State == StateStopping || last.State == StateStopped:
			continue // somebody else stopped it; it is gone now
		case err != nil:
			return "", fmt.Errorf("start the machine: naru-machine went away (%w); its log is %s", err, home.MachineLog())
		}
	}
}

// Stop stops the machine of home: its containers, its engine, the VM, naru-machine. It returns when all are gone;
// a machine that does not run is no error. kill ends the VM without asking the guest, as a power cut does.
func Stop(ctx context.Context, home paths.Home, kill bool, progress func(step string)) error {
	if progress == nil {
		progress = func(string) {}
	}
	c, err := connect(ctx, home)
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	last, err := follow(ctx, c, Request{Op: OpStop, Kill: kill}, progress)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if last.State != StateStopped && last.State != StateFailed && err != nil {
		return fmt.Errorf("stop the machine: %w", err)
	}
	return waitUnlocked(ctx, home)
}

// GetStatus asks the machine of home how it is. A machine that does not run has the state StateStopped and no error.
func GetStatus(ctx context.Context, home paths.Home) (*Status, error) {
	stopped := &Status{State: StateStopped, Socket: home.MachineSocket()}
	c, err := connect(ctx, home)
	if errors.Is(err, ErrNotRunning) {
		return stopped, nil
	}
	if err != nil {
		return nil, err
	}
	defer c.close()
	ev, err := c.ask(ctx, Request{Op: OpStatus})
	if errors.Is(err, io.EOF) {
		return stopped, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask the machine: %w", err)
	}
	if ev.Status == nil {
		return nil, fmt.Errorf("ask the machine: %s", ev.Error)
	}
	return ev.Status, nil
}

// OpenShell opens a root shell in the guest, also while its engine is down. The connection is the shell's raw stream;
// CloseWrite ends its stdin. The caller closes it.
func OpenShell(ctx context.Context, home paths.Home, sh Shell) (ipc.Conn, error) {
	c, err := connect(ctx, home)
	if err != nil {
		return nil, err
	}
	ev, err := c.ask(ctx, Request{Op: OpShell, Shell: &sh})
	if err == nil && ev.Error != "" {
		err = errors.New(ev.Error)
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("open a shell in the machine: %w", err)
	}
	return c.stream()
}

// Logs writes what naru-machine logged and what the guest's kernel wrote to its console, as they are now.
func Logs(home paths.Home, w io.Writer) error {
	for _, path := range []string{home.MachineLog(), home.MachineConsole()} {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(w, "==> %s <==\n", path)
		_, err = io.Copy(w, f)
		_ = f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// Reset stops the machine and removes its folder: images, containers and volumes in it are gone, and so are its
// settings. It asks nobody.
func Reset(ctx context.Context, home paths.Home, progress func(step string)) error {
	if err := Stop(ctx, home, false, progress); err != nil {
		return err
	}
	if _, err := os.Stat(home.Machine()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	lock, err := ipc.TryLock(home.MachineLock())
	if err != nil {
		return fmt.Errorf("reset the machine: %w", err)
	}
	err = os.RemoveAll(home.Machine())
	_ = lock.Unlock()
	return err
}

// client is a connection to naru-machine's control socket.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

func connect(ctx context.Context, home paths.Home) (*client, error) {
	conn, err := ipc.Dial(ctx, home.MachineControl())
	if ipc.IsAbsent(err) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("reach naru-machine: %w", err)
	}
	return &client{conn: conn, in: bufio.NewReader(conn)}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// ask sends req and reads one event.
func (c *client) ask(ctx context.Context, req Request) (ev Event, err error) {
	defer context.AfterFunc(ctx, c.close)()
	if err := json.NewEncoder(c.conn).Encode(req); err != nil {
		return ev, err
	}
	err = c.read(&ev)
	return ev, err
}

// read reads one event, newline included, and nothing of what is behind it.
func (c *client) read(ev *Event) error {
	line, err := c.in.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, ev)
}

// follow sends req, tells progress each new step and returns the last event, when the stream ends with an error too
// unless the state is a final one for the request.
func follow(ctx context.Context, c *client, req Request, progress func(string)) (last Event, err error) {
	defer c.close()
	defer context.AfterFunc(ctx, c.close)()
	if err := json.NewEncoder(c.conn).Encode(req); err != nil {
		return last, err
	}
	for {
		var ev Event
		if err := c.read(&ev); err != nil {
			return last, err
		}
		if ev.Step != "" && ev.Step != last.Step {
			progress(ev.Step)
		}
		last = ev
		if req.Op == OpWatch && (ev.State == StateRunning || ev.State == StateFailed) {
			return last, nil
		}
	}
}

// lockPatience is how long a process that holds the lock may be silent: longer than a machine takes to stop.
const lockPatience = 90 * time.Second

// connectOrSpawn connects to naru-machine and starts it when nobody answers.
func connectOrSpawn(ctx context.Context, home paths.Home) (*client, error) {
	late := time.Now().Add(lockPatience)
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		c, err := connect(ctx, home)
		if !errors.Is(err, ErrNotRunning) {
			return c, err
		}
		if wake(ctx, home) {
			err = ipc.ErrLocked // systemd starts it
		} else {
			err = spawn(ctx, home)
		}
		if errors.Is(err, ipc.ErrLocked) {
			// Another one has the lock and does not listen yet, or not any more.
			if time.Now().After(late) {
				return nil, fmt.Errorf("start the machine: another process holds %s and does not answer on %s",
					home.MachineLock(), home.MachineControl())
			}
			if err := pause(ctx, wait); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
	}
}

// wake tells whether somebody listens on the engine's socket though naru-machine does not answer: systemd, see
// host/autostart, which starts it for this connection; or a naru-machine that is about to end.
func wake(ctx context.Context, home paths.Home) bool {
	conn, err := ipc.Dial(ctx, home.MachineSocket())
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// waitUnlocked waits until naru-machine has let go of everything.
func waitUnlocked(ctx context.Context, home paths.Home) error {
	for {
		lock, err := ipc.TryLock(home.MachineLock())
		if err == nil {
			return lock.Unlock()
		}
		if !errors.Is(err, ipc.ErrLocked) {
			return err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
