package keeper

import (
	"bufio"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// helloPatience bounds how long a peer may take to say who it is.
const helloPatience = 10 * time.Second

// listenAgent writes the engine's copy of the config document and listens on AF_VSOCK for it and for the keeper.
func (k *keeper) listenAgent(listeners *[]Listener) (net.Listener, error) {
	doc, err := json.Marshal(k.o.Config)
	if err != nil {
		return nil, fmt.Errorf("write config: %w", err)
	}
	if err := os.WriteFile(k.o.config(), doc, 0o600); err != nil { // on the run tmpfs: gone with the keeper
		return nil, fmt.Errorf("write config: %w", err)
	}
	if k.o.agent != nil {
		return k.o.agent, nil
	}
	file, err := listenVsock(api.PortEngine)
	if err != nil {
		return nil, err
	}
	*listeners = append(*listeners, Listener{ListenerAgent, file})
	own, err := listenVsock(api.PortKeeper)
	if err != nil {
		return nil, err
	}
	defer own.Close()
	ln, err := vsock.FileListener(own)
	if err != nil {
		return nil, fmt.Errorf("listen on vsock: %w", err)
	}
	return ln, nil
}

// listenVsock makes a listening socket that the engine can inherit.
func listenVsock(port uint32) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = errors.Join(unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: port}), unix.Listen(fd, unix.SOMAXCONN))
		if err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on vsock port %d: %w", port, err)
	}
	return os.NewFile(uintptr(fd), fmt.Sprintf("vsock:%d", port)), nil
}

// isHost tells whether a connection comes from the host. AF_VSOCK knows no network namespaces: without this any
// container could knock here by way of the loopback CID.
func isHost(addr net.Addr) bool {
	a, ok := addr.(*vsock.Addr)
	return ok && a.ContextID == vsock.Host
}

// duplex is a connection whose two directions end on their own.
type duplex interface {
	net.Conn
	CloseWrite() error
	SyscallConn() (syscall.RawConn, error)
}

// serveAgent answers the host until ln is closed.
func (k *keeper) serveAgent(ctx context.Context, ln net.Listener) {
	var open connections
	defer open.closeAll()
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // a peer that went away in the queue, or no descriptors: the next one may do
			k.log.Error("accept from host", "error", err)
			time.Sleep(backoffMin)
			continue
		}
		open.serve(conn, func() {
			if err := k.serveHost(ctx, conn); err != nil {
				k.log.Warn("host connection", "peer", conn.RemoteAddr().String(), "error", err)
			}
		})
	}
}

// serveHost serves one stream from the host. A wrong Hello is answered by closing it.
func (k *keeper) serveHost(ctx context.Context, conn net.Conn) error {
	if k.o.agent == nil && !isHost(conn.RemoteAddr()) {
		return errors.New("refused: not the host")
	}
	if err := conn.SetDeadline(time.Now().Add(helloPatience)); err != nil {
		return err
	}
	var hello api.Hello
	in, err := readRequest(conn, api.MaxHello, &hello)
	if err != nil {
		return err
	}
	if hello.Version != api.Version {
		return fmt.Errorf("refused: host speaks version %d, guest %d", hello.Version, api.Version)
	}
	if subtle.ConstantTimeCompare([]byte(hello.Token), []byte(k.o.Config.Token)) != 1 {
		return errors.New("refused: wrong token")
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	switch hello.Kind {
	case api.KindControl:
		return k.serveControl(conn, in)
	case api.KindShell:
		d, ok := conn.(duplex)
		if !ok {
			return errors.New("shell: the connection has no half-close")
		}
		return k.serveShell(ctx, d, in, &hello)
	}
	return fmt.Errorf("refused: %q is not served here", hello.Kind)
}

func (k *keeper) serveControl(conn net.Conn, in io.Reader) error {
	var req api.ControlRequest
	line, err := bufio.NewReader(io.LimitReader(in, api.MaxHello)).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read control request: %w", err)
	}
	if err := json.Unmarshal(line, &req); err != nil {
		return fmt.Errorf("read control request: %w", err)
	}
	rep := api.ControlReply{}
	switch req.Op {
	case api.OpPoweroff:
		defer k.stop() // after the reply
	case api.OpStatus:
		rep.Status, err = k.status()
	case api.OpTime:
		rep.Time = time.Now()
	case api.OpStepTime:
		err = stepTime(req.Step)
	default:
		err = fmt.Errorf("unknown operation %q", req.Op)
	}
	if err != nil {
		rep.Error = err.Error()
	}
	return json.NewEncoder(conn).Encode(rep)
}

func stepTime(by time.Duration) error {
	ts := unix.NsecToTimespec(time.Now().Add(by).UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("step the clock: %w", err)
	}
	return nil
}
