//go:build unix

package vz

import (
	"io"
	"net"
	"path/filepath"
	"testing"
)

// hidden is like vz.VirtioSocketConnection.
type hidden struct {
	rawConn net.Conn
	port    uint32
}

func TestUnwrap(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	socket, err := unwrap(&hidden{rawConn: client})
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(server); err != nil {
		t.Error(err)
	}
	for _, bad := range []any{nil, 7, &struct{ other int }{}, &hidden{}} {
		if _, err := unwrap(bad); err == nil {
			t.Errorf("%T was unwrapped", bad)
		}
	}
}
