package keeper

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
)

// TestListAwaitsStarts: an engine dies in the middle of a start, and the next one asks what runs.
func TestListAwaitsStarts(t *testing.T) {
	k := keep(t, newOptions(t))
	fifo := filepath.Join(k.o.Root, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s := script(k, "slow", "exec sleep 1000")
	s.Args = append([]string{"/bin/sh", "-c", "read x <" + fifo + `; exec "$0" "$@"`}, s.Args...)
	ctx, die := context.WithCancel(t.Context())
	died := make(chan struct{})
	go func() {
		defer close(died)
		_, _, _ = k.Start(ctx, "slow", s)
	}()
	hold, err := os.OpenFile(fifo, os.O_WRONLY, 0) // returns when the runtime reads
	if err != nil {
		t.Fatal(err)
	}
	die()
	<-died
	conn, err := net.Dial("unix", k.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(`{"op":"list"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	if err := hold.Close(); err != nil { // the runtime goes on
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	var reply keeperapi.Reply
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		t.Fatal(err)
	}
	if len(reply.Processes) != 1 || reply.Processes[0].ID != "slow" || reply.Processes[0].Pid == 0 {
		t.Errorf("the list has %+v, want the process that was being started", reply.Processes)
	}
}

// TestOrderEndsWhatHangs: neither a runtime that hangs nor a client that sends nothing keeps a later engine waiting.
func TestOrderEndsWhatHangs(t *testing.T) {
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(newOptions(t).Root, "s")})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := ln.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var o order
	mute, hanging := o.take(conn), o.take(conn)
	go func() {
		_, _ = conn.Read(make([]byte, 1))
		o.finish(mute)
	}()
	go func() {
		<-hanging.abort
		o.finish(hanging)
	}()
	o.await(o.take(conn), time.Millisecond)
	if left := o.before(o.take(conn)); len(left) != 1 { // the one that awaited
		t.Errorf("%d turns are left", len(left))
	}
}
