// Package platformtest holds what proves a backend: a suite that each must pass, and a fake to write tests against,
// whose guest is a Go function in the same process.
package platformtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"

	"naru/platform"
)

// Fake is a backend without a hypervisor.
type Fake struct {
	Called string          // its name; "fake" when empty
	Report platform.Report // what Check says
	// Guest is the guest: it begins when the machine starts, and its return is the guest's power-off (nil) or crash.
	// ctx ends when the VM is killed. nil is a guest that does nothing until then.
	Guest func(ctx context.Context, g *Guest) error
}

// Guest is a machine from the inside.
type Guest struct {
	Machine *platform.Machine
	Notify  io.Writer // the notify port

	// mu guards ports.
	mu    sync.Mutex
	ports map[uint32]*port
}

// Name is the fake's name.
func (f *Fake) Name() string {
	if f.Called == "" {
		return "fake"
	}
	return f.Called
}

// Check returns Report.
func (f *Fake) Check(context.Context, string) platform.Report { return f.Report }

// Start starts the guest function.
func (f *Fake) Start(_ context.Context, m *platform.Machine) (platform.VM, error) {
	for _, d := range m.Disks {
		if len(d.Serial) > 20 {
			return nil, fmt.Errorf("start: serial %q has more than 20 bytes", d.Serial)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	r, w := newPipe()
	vm := &fakeVM{
		guest:  &Guest{Machine: m, Notify: w, ports: map[uint32]*port{}},
		notify: r, cancel: cancel, done: make(chan struct{}),
	}
	guest := f.Guest
	if guest == nil {
		guest = func(ctx context.Context, _ *Guest) error { <-ctx.Done(); return nil }
	}
	go func() {
		err := guest(ctx, vm.guest)
		if ctx.Err() == nil {
			vm.err = err // else it was killed, which is no error
		}
		cancel()
		vm.guest.closePorts()
		w.Close()
		close(vm.done)
	}()
	return vm, nil
}

type fakeVM struct {
	guest  *Guest
	notify io.Reader
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done is closed
}

func (v *fakeVM) Notify() io.Reader { return v.notify }
func (v *fakeVM) Kill()             { v.cancel() }

func (v *fakeVM) Wait() error {
	<-v.done
	return v.err
}

func (v *fakeVM) Usage() (platform.Usage, error) { return platform.Usage{Memory: 1 << 20}, nil }

func (v *fakeVM) Dial(ctx context.Context, number uint32) (net.Conn, error) {
	select {
	case <-v.done:
		return nil, net.ErrClosed
	default:
	}
	v.guest.mu.Lock()
	p := v.guest.ports[number]
	v.guest.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("dial port %d: %w", number, syscall.ECONNREFUSED)
	}
	host, guest, err := connPair()
	if err != nil {
		return nil, err
	}
	select {
	case p.queue <- guest:
		v.guest.mu.Lock()
		p.conns = append(p.conns, guest)
		v.guest.mu.Unlock()
		return host, nil
	case <-p.closed:
		err = syscall.ECONNREFUSED
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = host.Close()
	_ = guest.Close()
	return nil, fmt.Errorf("dial port %d: %w", number, err)
}

// Listen listens on a port of the guest.
func (g *Guest) Listen(number uint32) (net.Listener, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ports[number] != nil {
		return nil, syscall.EADDRINUSE
	}
	p := &port{guest: g, number: number, queue: make(chan net.Conn), closed: make(chan struct{})}
	g.ports[number] = p
	return p, nil
}

func (g *Guest) closePorts() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for number, p := range g.ports {
		p.closeLocked()
		for _, c := range p.conns {
			_ = c.Close()
		}
		delete(g.ports, number)
	}
}

// port is a listener of the guest.
type port struct {
	guest  *Guest
	number uint32
	queue  chan net.Conn
	closed chan struct{}
	once   sync.Once
	conns  []net.Conn // guarded by guest.mu
}

func (p *port) Accept() (net.Conn, error) {
	select {
	case c := <-p.queue:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *port) closeLocked() { p.once.Do(func() { close(p.closed) }) }

func (p *port) Close() error {
	p.guest.mu.Lock()
	defer p.guest.mu.Unlock()
	p.closeLocked()
	delete(p.guest.ports, p.number)
	return nil
}

func (p *port) Addr() net.Addr { return addr(p.number) }

type addr uint32

func (addr) Network() string  { return "fake" }
func (a addr) String() string { return fmt.Sprint(uint32(a)) }

// connPair is a connected pair with half-close on any OS.
func connPair() (a, b net.Conn, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	a, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	b, err = ln.Accept()
	if err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	return a, b, nil
}

// newPipe is a pipe that, as the hypervisor's, takes some bytes before anybody reads.
func newPipe() (io.Reader, io.WriteCloser) {
	p := &pipe{}
	p.cond = sync.NewCond(&p.mu)
	return p, p
}

type pipe struct {
	mu     sync.Mutex // guards what follows
	cond   *sync.Cond
	data   []byte
	closed bool
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, io.ErrClosedPipe
	}
	p.data = append(p.data, b...)
	p.cond.Broadcast()
	return len(b), nil
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.data) == 0 && !p.closed {
		p.cond.Wait()
	}
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.data)
	p.data = p.data[n:]
	return n, nil
}

func (p *pipe) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.cond.Broadcast()
	return nil
}
