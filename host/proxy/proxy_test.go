package proxy

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// pair is a connected pair of unix sockets.
func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	addr := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"}
	ln, err := net.ListenUnix("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if a, err = net.DialUnix("unix", nil, addr); err != nil {
		t.Fatal(err)
	}
	if b, err = ln.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{a, b} {
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		t.Cleanup(func() { c.Close() })
	}
	return a, b
}

// TestSpliceKeepsHalfClose ends one direction and uses the other for long after.
func TestSpliceKeepsHalfClose(t *testing.T) {
	client, left := pair(t)
	right, server := pair(t)
	done := make(chan struct{})
	go func() { Splice(left, right); close(done) }()

	request := make([]byte, 1<<20)
	_, _ = rand.Read(request)
	go func() { _, _ = client.Write(request); _ = client.CloseWrite() }()
	if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, request) {
		t.Fatalf("request: %d bytes, %v", len(got), err)
	}
	go func() { _, _ = server.Write(request); _ = server.CloseWrite() }()
	if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, request) {
		t.Fatalf("answer after the half-close: %d bytes, %v", len(got), err)
	}
	<-done
}

// TestSpliceEndsWithAPeer wants both ends closed when one side goes away for good.
func TestSpliceEndsWithAPeer(t *testing.T) {
	client, left := pair(t)
	right, server := pair(t)
	done := make(chan struct{})
	go func() { Splice(left, right); close(done) }()
	client.Close()
	if _, err := io.ReadAll(server); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := server.Write(make([]byte, 1<<16)); err != nil {
			break
		}
	}
	server.Close()
	<-done
}
