//go:build cgo

package vz

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	framework "github.com/Code-Hex/vz/v3"

	"naru/platform"
	"naru/platform/console"
)

// vm is one run of a machine.
type vm struct {
	log     *slog.Logger
	machine *framework.VirtualMachine
	sockets *framework.VirtioSocketDevice
	files   *files
	console *console.File
	silence *os.File   // nothing is ever written to it: the guest's consoles have no input, and no end of it
	out     []*os.File // our ends of the console ports
	notify  *os.File   // the last of them, nil without one
	wire    []net.Conn // the network's stream and our end of the card

	pid  int            // of the service process that runs it; 0 when it cannot be told from others
	work sync.WaitGroup // the goroutines that serve devices

	panicked chan string   // the guest's last words
	killed   chan struct{} // closed by Kill
	killOnce sync.Once
	done     chan struct{} // closed when everything has ended
	err      error         // how, once done is closed
}

// newVM makes the machine and the host's ends of its devices; nothing runs yet.
func newVM(log *slog.Logger, m *platform.Machine, c *config) (*vm, error) {
	v := &vm{log: log, files: &files{}, panicked: make(chan string, 1), killed: make(chan struct{}), done: make(chan struct{})}
	if err := v.open(m, c); err != nil {
		v.close()
		return nil, err
	}
	conf, err := build(c, v.files)
	if err == nil {
		v.machine, err = framework.NewVirtualMachine(conf)
	}
	if err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

// open opens what the devices end in.
func (v *vm) open(m *platform.Machine, c *config) (err error) {
	if v.console, err = console.Create(m.Console); err != nil {
		return err
	}
	if v.files.nothing, v.silence, err = os.Pipe(); err != nil {
		return err
	}
	for range c.Ports {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		v.files.ports, v.out = append(v.files.ports, w), append(v.out, r)
	}
	if m.Notify != "" {
		v.notify = v.out[len(v.out)-1]
	}
	if c.NIC == nil {
		return nil
	}
	stream, err := net.Dial("unix", m.NIC.Socket)
	if err != nil {
		return fmt.Errorf("join the network: %w", err)
	}
	v.wire = append(v.wire, stream)
	card, packets, err := packetPair()
	if err != nil {
		return err
	}
	v.files.nic, v.wire = card, append(v.wire, packets)
	return nil
}

// start starts the machine and what serves it.
func (v *vm) start() error {
	before := listServices()
	if err := v.machine.Start(); err != nil {
		return err
	}
	v.pid = newest(before, listServices())
	devices := v.machine.SocketDevices()
	if len(devices) == 0 {
		return errors.New("the machine has no socket device")
	}
	v.sockets = devices[0]
	v.work.Go(func() { v.watchConsole(v.out[0]) })
	if len(v.wire) == 2 {
		v.work.Go(func() {
			if err := bridge(v.wire[0], v.wire[1]); err != nil {
				v.log.Error("the network card", "error", err)
			}
		})
	}
	go v.run()
	return nil
}

// fail ends a machine whose start failed half-way.
func (v *vm) fail() {
	if v.machine.CanStop() {
		_ = v.machine.Stop()
	}
	v.close()
}

// watchConsole keeps what the guest's kernel says, and waits for the words of a panic: the framework would start the
// guest anew.
func (v *vm) watchConsole(out io.Reader) {
	lines := bufio.NewReaderSize(out, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		_, _ = v.console.Write(line)
		if i := bytes.Index(line, []byte("Kernel panic - not syncing")); i >= 0 {
			select {
			case v.panicked <- string(bytes.TrimSpace(line[i:])):
			default:
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// run waits for the machine's end and clears up after it.
func (v *vm) run() {
	v.err = v.ending()
	v.close()
	close(v.done)
}

// ending waits for the end and tells how it came.
func (v *vm) ending() error {
	changes := v.machine.StateChangedNotify()
	killed := v.killed
	var verdict error
	for {
		select {
		case <-killed:
			killed = nil
			v.stop()
		case last := <-v.panicked:
			verdict = fmt.Errorf("the guest's kernel gave up (%s)", last)
			v.stop()
		case state := <-changes:
			switch state {
			case framework.VirtualMachineStateStopped:
				return verdict
			case framework.VirtualMachineStateError:
				return errors.Join(verdict, errors.New("the Virtualization framework gave the machine up"))
			}
		}
	}
}

func (v *vm) stop() {
	if err := v.machine.Stop(); err != nil && v.machine.State() != framework.VirtualMachineStateStopped {
		v.log.Error("stop the machine", "error", err)
	}
}

// lastWords is how long the ends of console ports are still read once the machine has stopped: what the guest wrote
// last is in them, and the service process may keep its own copies of them open.
const lastWords = time.Second

// close closes the host's ends but that of the notify port, which is its reader's.
func (v *vm) close() {
	for _, f := range v.out {
		_ = f.SetReadDeadline(time.Now().Add(lastWords))
	}
	for _, f := range append(v.files.ports, v.files.nothing, v.silence, v.files.nic) {
		if f != nil {
			_ = f.Close()
		}
	}
	for _, c := range v.wire {
		_ = c.Close()
	}
	v.work.Wait()
	for _, f := range v.out {
		if f != v.notify {
			_ = f.Close()
		}
	}
	if v.console != nil {
		_ = v.console.Close()
	}
}

// Dial opens a stream to a port of the guest. The framework cannot give up a connection: one that comes after ctx has
// ended is closed.
func (v *vm) Dial(ctx context.Context, port uint32) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	made := make(chan result, 1)
	go func() {
		conn, err := v.sockets.Connect(port)
		if err != nil {
			made <- result{nil, fmt.Errorf("dial port %d: %w", port, posixError(err))}
			return
		}
		socket, err := unwrap(conn)
		made <- result{socket, err}
	}()
	select {
	case r := <-made:
		return r.conn, r.err
	case <-ctx.Done():
	case <-v.done:
	}
	go func() {
		if r := <-made; r.err == nil {
			_ = r.conn.Close()
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("dial port %d: %w", port, err)
	}
	return nil, fmt.Errorf("dial port %d: %w", port, net.ErrClosed)
}

// posixError is err, which is an errno too when the framework has put one into it.
func posixError(err error) error {
	var ns *framework.NSError
	if errors.As(err, &ns) && ns.Domain == "NSPOSIXErrorDomain" {
		return fmt.Errorf("%w: %s", syscall.Errno(ns.Code), ns.LocalizedDescription)
	}
	return err
}

// Notify is what the guest pushes.
func (v *vm) Notify() io.Reader {
	if v.notify == nil {
		return bytes.NewReader(nil)
	}
	return notifyReader{v.notify}
}

// notifyReader makes every end of the port a plain io.EOF.
type notifyReader struct{ port *os.File }

func (n notifyReader) Read(p []byte) (int, error) {
	c, err := n.port.Read(p)
	if err != nil {
		_ = n.port.Close()
		err = io.EOF
	}
	return c, err
}

// Wait waits for the end of everything.
func (v *vm) Wait() error {
	<-v.done
	return v.err
}

// Kill pulls the plug.
func (v *vm) Kill() { v.killOnce.Do(func() { close(v.killed) }) }

// Usage is the size of the service process.
func (v *vm) Usage() (platform.Usage, error) {
	if v.pid == 0 {
		return platform.Usage{}, errors.New("the machine's service process cannot be told from others")
	}
	return platform.Usage{Pid: v.pid, Memory: listServices()[v.pid]}, nil
}

func listServices() map[int]uint64 {
	out, err := exec.Command("/bin/ps", "-axo", "pid=,rss=,comm=").Output()
	if err != nil {
		return nil
	}
	return services(out)
}
