package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"naru/guest/api"
)

// openStream dials a port of the guest and says Hello. ctx bounds the opening, not the stream.
func (d *Daemon) openStream(ctx context.Context, port uint32, hello api.Hello) (net.Conn, error) {
	vm := d.machine()
	if vm == nil {
		return nil, errors.New("the machine is booting")
	}
	conn, err := vm.Dial(ctx, port)
	if err != nil {
		return nil, err
	}
	hello.Version, hello.Token = api.Version, d.token
	line, err := json.Marshal(hello)
	if err == nil && len(line) >= api.MaxHello {
		err = errors.New("the command is too long")
	}
	if err == nil {
		_, err = conn.Write(append(line, '\n'))
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("greet the guest: %w", err)
	}
	return conn, nil
}

// dialEngine opens a stream to the engine.
func (d *Daemon) dialEngine(ctx context.Context, kind, target string) (net.Conn, error) {
	conn, err := d.openStream(ctx, api.PortEngine, api.Hello{Kind: kind, Target: target})
	if err != nil {
		return nil, fmt.Errorf("reach the engine: %w", err)
	}
	return conn, nil
}

// maxReply bounds what the keeper answers, in bytes: the guest is not trusted.
const maxReply = 64 << 10

// ask asks the keeper for one thing.
func (d *Daemon) ask(ctx context.Context, req api.ControlRequest) (*api.ControlReply, error) {
	conn, err := d.openStream(ctx, api.PortKeeper, api.Hello{Kind: api.KindControl})
	if err != nil {
		return nil, fmt.Errorf("reach the keeper: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := json.NewEncoder(conn).Encode(req); err != nil {
		return nil, fmt.Errorf("ask the keeper: %w", err)
	}
	line, err := bufio.NewReader(io.LimitReader(conn, maxReply)).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("ask the keeper: %w", err)
	}
	var reply api.ControlReply
	if err := json.Unmarshal(line, &reply); err != nil {
		return nil, fmt.Errorf("ask the keeper: %w", err)
	}
	if reply.Error != "" {
		return nil, fmt.Errorf("the keeper: %s", reply.Error)
	}
	return &reply, nil
}

func (d *Daemon) askPoweroff(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_, err := d.ask(ctx, api.ControlRequest{Op: api.OpPoweroff})
	return err
}

// publish holds the engine's publish stream, and opens it again when the engine was restarted.
func (d *Daemon) publish(ctx context.Context) { d.hold(ctx, "publish", d.publishOnce) }

// hold opens a stream again whenever it ended, until ctx ends.
func (d *Daemon) hold(ctx context.Context, name string, once func(ctx context.Context, onReady func()) error) {
	const least, most = 50 * time.Millisecond, 5 * time.Second
	wait := least
	for ctx.Err() == nil {
		err := once(ctx, func() { wait = least })
		if ctx.Err() != nil {
			return
		}
		d.log.Info("a stream to the engine ended", "stream", name, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, most)
	}
}

func (d *Daemon) publishOnce(ctx context.Context, onReady func()) error {
	dialCtx, cancel := context.WithTimeout(ctx, 20*time.Second)
	conn, err := d.dialEngine(dialCtx, api.KindDocker, "")
	cancel()
	if err != nil {
		return err
	}
	return d.ports.Serve(ctx, conn, onReady)
}
