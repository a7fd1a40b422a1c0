package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"time"

	"naru/guest/api"
	"naru/host/machine"
	"naru/host/proxy"
)

// serveControl serves one connection of control.sock: one request.
func (d *Daemon) serveControl(ctx context.Context, conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(io.LimitReader(conn, 64<<10))
	line, err := in.ReadBytes('\n')
	if err != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	var req machine.Request
	if err := json.Unmarshal(line, &req); err != nil {
		d.answer(conn, machine.Event{Error: "bad request: " + err.Error()})
		return
	}
	switch req.Op {
	case machine.OpWatch:
		d.rest.wake()
		defer d.rest.leave()
		d.watch(ctx, conn, false)
	case machine.OpStatus:
		status := d.status(ctx)
		d.answer(conn, machine.Event{State: status.State, Status: status})
	case machine.OpStop:
		d.log.Info("asked to stop", "kill", req.Kill)
		d.state.askStop(req.Kill)
		d.watch(ctx, conn, true)
	case machine.OpShell:
		d.rest.wake()
		defer d.rest.leave()
		if _, err := d.state.settled(ctx); err != nil {
			return
		}
		d.shell(ctx, conn, req.Shell)
	default:
		d.answer(conn, machine.Event{Error: "unknown operation " + req.Op})
	}
}

func (d *Daemon) answer(conn net.Conn, ev machine.Event) bool {
	return json.NewEncoder(conn).Encode(ev) == nil
}

// watch tells each change until the machine is ready, or has ended.
func (d *Daemon) watch(ctx context.Context, conn net.Conn, toTheEnd bool) {
	for {
		ev, changed := d.state.now()
		if !d.answer(conn, ev) {
			return
		}
		switch ev.State {
		case machine.StateFailed, machine.StateStopped:
			return
		case machine.StateRunning:
			if !toTheEnd {
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// shell opens a shell in the guest and splices it. The client sends nothing before the answer.
func (d *Daemon) shell(ctx context.Context, conn net.Conn, sh *machine.Shell) {
	if sh == nil {
		sh = &machine.Shell{}
	}
	dialCtx, cancel := context.WithTimeout(ctx, 20*time.Second)
	stream, err := d.openStream(dialCtx, api.PortKeeper, api.Hello{
		Kind: api.KindShell, Command: sh.Command, Term: sh.Term, Rows: sh.Rows, Cols: sh.Cols,
	})
	cancel()
	ev, _ := d.state.now()
	if err != nil {
		d.answer(conn, machine.Event{State: ev.State, Error: err.Error()})
		return
	}
	defer context.AfterFunc(ctx, func() { _ = stream.Close() })()
	if !d.answer(conn, ev) {
		_ = stream.Close()
		return
	}
	proxy.Splice(conn, stream)
}

// status gathers what is known. The guest may be slow or gone: it has two seconds to say something.
func (d *Daemon) status(ctx context.Context) *machine.Status {
	ev, _ := d.state.now()
	s := &machine.Status{
		State: ev.State, Step: ev.Step, Error: ev.Error, Version: d.o.Version, Pid: os.Getpid(), Started: d.started,
		CPUs: d.settings.EffectiveCPUs(), Memory: d.memory(), Disk: d.settings.EffectiveDisk(),
		Socket: d.o.Home.MachineSocket(),
	}
	d.mu.Lock()
	vm := d.vm
	s.Boot, s.Backend, s.Accel, s.Note = d.boot, d.name, d.report.Accel, d.report.Note
	for _, sh := range d.shares {
		s.Shares = append(s.Shares, sh.guest)
	}
	d.mu.Unlock()
	for _, p := range d.ports.Ports() {
		s.Ports = append(s.Ports, machine.Port{Protocol: p.Protocol, HostIP: p.Address.Addr().String(), HostPort: p.Address.Port(), Target: p.Target})
	}
	s.Disk, s.HostDisk = diskUse(d.o.Home.MachineData(), s.Disk)
	if vm == nil {
		return s
	}
	if u, err := vm.Usage(); err == nil {
		s.VMPid, s.HostMemory = u.Pid, u.Memory
	}
	if ev.State == machine.StateRunning {
		askCtx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if reply, err := d.ask(askCtx, api.ControlRequest{Op: api.OpStatus}); err == nil {
			s.Guest = reply.Status
		}
	}
	return s
}
