package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"naru/platform"
	"naru/platform/vhostvsock"
)

type logger = *slog.Logger

// vm is one run of a machine: QEMU, its helpers, and what they are connected by.
type vm struct {
	log    logger
	h      *host
	qemu   *child
	stderr *lineLog
	mon    *monitor
	notify net.Conn
	vsock  *vhostvsock.Device

	helpers []*child
	closers []io.Closer
	work    sync.WaitGroup // the goroutines that serve connections

	ending   chan struct{} // closed when QEMU has ended, or never began
	killed   chan struct{} // closed by Kill
	killOnce sync.Once
	done     chan struct{} // closed when everything has ended
	err      error         // how, once done is closed
}

func newVM(log logger, h *host) *vm {
	return &vm{
		log: log, h: h, stderr: &lineLog{log: log, name: "qemu"},
		ending: make(chan struct{}), killed: make(chan struct{}), done: make(chan struct{}),
	}
}

// keep closes c when the VM has ended.
func (v *vm) keep(c io.Closer) { v.closers = append(v.closers, c) }

func (v *vm) setVsock(dev *vhostvsock.Device) {
	v.vsock = dev
	v.keep(dev)
	v.work.Go(func() {
		if err := dev.Run(context.Background()); err != nil && !errors.Is(err, net.ErrClosed) {
			v.log.Error("the vsock device", "error", err)
		}
	})
}

func (v *vm) addHelper(c *child, share string) {
	v.helpers = append(v.helpers, c)
	v.work.Go(func() {
		<-c.done
		select {
		case <-v.ending:
		case <-v.killed:
		case <-time.After(time.Second): // both end together when the VM does
			v.log.Error("virtiofsd ended before its machine: the share hangs until the machine is started again",
				"share", share, "error", c.err)
		}
	})
}

// start begins to serve QEMU's connections.
func (v *vm) start(mon *monitor, console func()) {
	v.mon = mon
	v.work.Go(mon.run)
	v.work.Go(console)
}

// closeOnEnd closes listeners when QEMU ends, so that nobody waits for it in Accept, until stop is called.
func (v *vm) closeOnEnd(lns ...*net.UnixListener) (stop func()) {
	stopped := make(chan struct{})
	v.work.Go(func() {
		select {
		case <-v.qemu.done:
			for _, ln := range lns {
				if ln != nil {
					_ = ln.Close()
				}
			}
		case <-stopped:
		}
	})
	return func() { close(stopped) }
}

// run waits for QEMU's end and clears up after it.
func (v *vm) run() {
	select {
	case <-v.qemu.done:
	case <-v.killed:
		v.qemu.kill()
		<-v.qemu.done
	}
	v.err = v.verdict()
	v.cleanUp()
	close(v.done)
}

// fail clears up after a start that failed.
func (v *vm) fail() {
	if v.qemu != nil {
		v.qemu.kill()
		<-v.qemu.done
	}
	v.cleanUp()
	if v.notify != nil {
		_ = v.notify.Close()
	}
}

func (v *vm) cleanUp() {
	close(v.ending)
	for _, c := range v.helpers {
		c.kill()
		<-c.done
	}
	for _, c := range v.closers {
		if c != v.notify {
			_ = c.Close()
		}
	}
	v.work.Wait()
	// The reader gets what is still in the notify socket, then io.EOF, for QEMU has closed its end: no need to close
	// ours under its feet.
}

// verdict tells how QEMU ended.
func (v *vm) verdict() error {
	select {
	case <-v.killed:
		return nil
	default:
	}
	if err := v.qemu.err; err != nil {
		if said := v.stderr.lastLine(); said != "" {
			return fmt.Errorf("qemu ended (%w): %s", err, said)
		}
		return fmt.Errorf("qemu ended: %w", err)
	}
	<-v.mon.done // its last words
	if why := v.mon.resetReason(); why != "" {
		return fmt.Errorf("the guest's kernel gave up (%s)", why)
	}
	return nil
}

// Dial opens a stream to a port of the guest.
func (v *vm) Dial(ctx context.Context, port uint32) (net.Conn, error) {
	select {
	case <-v.done:
		return nil, net.ErrClosed
	default:
	}
	if v.vsock != nil {
		return v.vsock.Dial(ctx, port)
	}
	return dialKernel(ctx, v.h.CID, port)
}

// Notify is what the guest pushes.
func (v *vm) Notify() io.Reader {
	if v.notify == nil {
		return eofReader{}
	}
	return &notifyReader{v.notify}
}

// Wait waits for the end of everything.
func (v *vm) Wait() error {
	<-v.done
	return v.err
}

// Kill pulls the plug.
func (v *vm) Kill() { v.killOnce.Do(func() { close(v.killed) }) }

// Usage asks the kernel what QEMU and its helpers have resident.
func (v *vm) Usage() (platform.Usage, error) {
	u := platform.Usage{Pid: v.qemu.cmd.Process.Pid}
	resident, _, err := memoryOf(u.Pid)
	if err != nil {
		return u, fmt.Errorf("measure qemu: %w", err)
	}
	u.Memory = resident
	for _, c := range v.helpers {
		u.ShareServers = append(u.ShareServers, c.cmd.Process.Pid)
		u.Memory += privateOf(c.cmd.Process.Pid) // the rest is the guest's memory, counted already
		if files, limit := openFiles(c.cmd.Process.Pid); files > u.ShareFiles {
			u.ShareFiles, u.ShareFilesMax = files, limit
		}
	}
	return u, nil
}

// notifyReader makes every end of the connection a plain io.EOF.
type notifyReader struct{ conn net.Conn }

func (n *notifyReader) Read(p []byte) (int, error) {
	c, err := n.conn.Read(p)
	if err != nil {
		_ = n.conn.Close()
		err = io.EOF
	}
	return c, err
}

type eofReader struct{}

func (eofReader) Read([]byte) (int, error) { return 0, io.EOF }
