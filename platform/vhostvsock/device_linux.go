package vhostvsock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errRestarted is the end of every stream when the guest's driver has begun anew.
var errRestarted = fmt.Errorf("guest restarted: %w", syscall.ECONNRESET)

// errBroken is the end of every stream when the guest has broken a ring.
var errBroken = fmt.Errorf("guest broke the vsock device: %w", syscall.ECONNRESET)

// closeTimeout is how long a closed stream waits for the guest's reset; Linux's VSOCK_CLOSE_TIMEOUT.
const closeTimeout = 8 * time.Second

// device is the state shared by QEMU's goroutine, the two that wait for kicks, and the users of streams.
type device struct {
	cid          uint32
	log          *slog.Logger
	closeTimeout time.Duration
	ln           *net.UnixListener

	life   context.Context // ends with the device; its cause is what Run returns
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when Run has ended

	rings [queues]*vring
	txMu  sync.Mutex // mu of the tx ring

	mu       sync.Mutex
	started  bool             // guarded by mu; Run was called
	ended    bool             // guarded by mu
	up       chan struct{}    // guarded by mu; closed while both rings run
	streams  map[uint32]*conn // guarded by mu; by host port
	lastPort uint32           // guarded by mu
	out      fifo             // guarded by mu; streams with something to send
	stray    []header         // guarded by mu; resets for what belongs to no stream
}

func newDevice(o Options) (*device, error) {
	if probe := uint16(1); *(*byte)(unsafe.Pointer(&probe)) != 1 {
		return nil, ErrUnsupported // the rings are little-endian
	}
	if o.CID <= HostCID || o.CID == unix.VMADDR_CID_ANY {
		return nil, fmt.Errorf("vsock: CID %d is not one of a guest", o.CID)
	}
	if st, err := os.Lstat(o.Socket); err == nil && st.Mode().Type() == os.ModeSocket {
		if err := os.Remove(o.Socket); err != nil {
			return nil, fmt.Errorf("vsock: remove stale socket: %w", err)
		}
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: o.Socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("vsock: %w", err)
	}
	if err := os.Chmod(o.Socket, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("vsock: %w", err), ln.Close())
	}
	d := &device{
		cid: o.CID, log: o.Log, closeTimeout: closeTimeout, ln: ln,
		done: make(chan struct{}), up: make(chan struct{}),
		streams: make(map[uint32]*conn), lastPort: firstPort,
	}
	d.life, d.cancel = context.WithCancelCause(context.Background())
	d.rings[rxQueue] = &vring{mu: &d.mu, call: -1}
	d.rings[txQueue] = &vring{mu: &d.txMu, call: -1}
	return d, nil
}

func (d *device) run(ctx context.Context) error {
	d.mu.Lock()
	if d.started || d.ended {
		d.mu.Unlock()
		return fmt.Errorf("vsock: run: %w", net.ErrClosed)
	}
	d.started = true
	d.mu.Unlock()
	defer close(d.done)
	defer context.AfterFunc(ctx, func() { d.cancel(context.Cause(ctx)) })()
	err := d.serve()
	if d.life.Err() != nil {
		err = context.Cause(d.life)
	}
	d.end()
	if err != nil {
		return fmt.Errorf("vsock: %w", err)
	}
	return nil
}

// serve takes the one connection and serves it.
func (d *device) serve() error {
	defer context.AfterFunc(d.life, func() { _ = d.ln.Close() })()
	conn, err := d.ln.AcceptUnix()
	_ = d.ln.Close() // removes the socket
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	defer context.AfterFunc(d.life, func() { _ = conn.Close() })()
	defer conn.Close()
	f := &frontend{d: d}
	defer f.shut()
	return f.serve(conn)
}

// end kills all streams and makes every Dial fail.
func (d *device) end() {
	_ = d.ln.Close()
	d.cancel(net.ErrClosed)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	d.resetAll(syscall.ECONNRESET)
}

func (d *device) close() error {
	d.cancel(net.ErrClosed)
	d.mu.Lock()
	started := d.started
	d.ended = true
	d.mu.Unlock()
	if started {
		<-d.done
		return nil
	}
	d.end()
	return nil
}

// setUp lets Dial go on or wait; mu is held.
func (d *device) setUp(up bool) {
	select {
	case <-d.up:
		if !up {
			d.up = make(chan struct{})
		}
	default:
		if up {
			close(d.up)
		}
	}
}

// broken stops a ring whose rules the driver has broken, and resets all streams; mu is held, and the ring's.
func (d *device) broken(r *vring, err error) {
	r.halt()
	r.broken = true
	d.setUp(false)
	d.resetAll(errBroken)
	d.log.Error("guest broke a vsock ring, which is stopped until its driver restarts", "error", err)
}

// resetAll ends every stream without a word to the guest; mu is held.
func (d *device) resetAll(err error) {
	for _, c := range d.streams {
		c.gone(err)
	}
	d.out = fifo{}
	d.stray = nil
}
