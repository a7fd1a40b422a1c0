package platformtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"naru/platform"
)

// Setup tells the suite how to use a backend. Its guest answers on one port with what it is sent (an echo whose two
// directions end one by one), and pushes a line when it has booted.
type Setup struct {
	Backend platform.Backend
	Machine func(t *testing.T) *platform.Machine // a new one, with files of its own, at each call
	Ready   func(line []byte) bool               // whether this line of the notify port says "booted"

	EchoPort uint32
	// Open prepares a new stream to EchoPort, so that the echo begins.
	Open func(c net.Conn) error
	// Poweroff asks the guest to power itself off.
	Poweroff func(ctx context.Context, vm platform.VM) error

	Boot time.Duration // how long a boot may take
}

// Run runs the suite. It boots the machine twice.
func Run(t *testing.T, s Setup) {
	t.Run("running", func(t *testing.T) { s.running(t) })
	t.Run("killed", func(t *testing.T) { s.killed(t) })
	t.Run("bad machine", func(t *testing.T) { s.badMachine(t) })
}

func (s *Setup) start(t *testing.T) platform.VM {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.Boot)
	defer cancel()
	vm, err := s.Backend.Start(ctx, s.Machine(t))
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { vm.Kill(); _ = vm.Wait() })
	return vm
}

// boot reads the notify port until the guest has booted; the reader goes on from there.
func (s *Setup) boot(t *testing.T, vm platform.VM) *bufio.Reader {
	t.Helper()
	timer := time.AfterFunc(s.Boot, vm.Kill)
	defer timer.Stop()
	in := bufio.NewReader(vm.Notify())
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			t.Fatalf("wait for the guest to boot: %v (after %q; VM: %v)", err, line, vm.Wait())
		}
		t.Logf("notice: %s", bytes.TrimSpace(line))
		if s.Ready(line) {
			return in
		}
	}
}

func (s *Setup) open(t *testing.T, vm platform.VM) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := vm.Dial(ctx, s.EchoPort)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	if err := s.Open(c); err != nil {
		t.Fatalf("open the echo: %v", err)
	}
	return c
}

func (s *Setup) running(t *testing.T) {
	vm := s.start(t)
	notify := s.boot(t, vm)
	s.echo(t, vm, 1)
	s.echo(t, vm, 3<<20)
	s.refused(t, vm)
	if u, err := vm.Usage(); err != nil || u.Memory == 0 {
		t.Errorf("usage: %+v, %v", u, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Poweroff(ctx, vm); err != nil {
		t.Errorf("ask for power-off: %v", err)
	}
	if err := waitFor(t, vm); err != nil {
		t.Errorf("the end of a guest that powered off: %v", err)
	}
	if _, err := io.Copy(io.Discard, notify); err != nil {
		t.Errorf("end of the notify port: %v", err)
	}
	if c, err := vm.Dial(ctx, s.EchoPort); err == nil {
		c.Close()
		t.Error("dial of an ended VM succeeded")
	}
}

// echo sends n bytes, half-closes, and wants them back and then the end.
func (s *Setup) echo(t *testing.T, vm platform.VM, n int) {
	t.Helper()
	c := s.open(t, vm)
	defer c.Close()
	sent := make([]byte, n)
	_, _ = rand.Read(sent)
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		if err == nil {
			err = c.(interface{ CloseWrite() error }).CloseWrite()
		}
		wrote <- err
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("echo of %d bytes: read: %v", n, err)
	}
	if err := <-wrote; err != nil {
		t.Errorf("echo of %d bytes: write: %v", n, err)
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("echo of %d bytes: %d came back, or others", n, len(got))
	}
}

// refused dials a port where nobody listens.
func (s *Setup) refused(t *testing.T, vm platform.VM) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := vm.Dial(ctx, 59999)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("dial of a port without listener: %v", err)
	}
}

func (s *Setup) killed(t *testing.T) {
	vm := s.start(t)
	s.boot(t, vm)
	c := s.open(t, vm)
	defer c.Close()
	vm.Kill()
	vm.Kill()
	if err := waitFor(t, vm); err != nil {
		t.Errorf("the end of a killed VM: %v", err)
	}
	if _, err := io.ReadAll(c); errors.Is(err, context.DeadlineExceeded) {
		t.Error("a stream outlived its VM")
	}
}

// badMachine wants an error, and nothing left.
func (s *Setup) badMachine(t *testing.T) {
	m := s.Machine(t)
	m.Disks = append(m.Disks, platform.Disk{Path: m.Run + "/missing.img", Serial: "a-serial-number-of-more-than-20-bytes"})
	ctx, cancel := context.WithTimeout(t.Context(), s.Boot)
	defer cancel()
	vm, err := s.Backend.Start(ctx, m)
	if err == nil {
		vm.Kill()
		_ = vm.Wait()
		t.Fatal("a machine with a missing disk started")
	}
	t.Logf("error: %v", err)
}

func waitFor(t *testing.T, vm platform.VM) error {
	t.Helper()
	ch := make(chan error, 1)
	go func() { ch <- vm.Wait() }()
	select {
	case err := <-ch:
		return err
	case <-time.After(time.Minute):
		t.Fatal("the VM does not end")
		return nil
	}
}
