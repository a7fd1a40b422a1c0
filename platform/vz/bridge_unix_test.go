//go:build unix

package vz

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func bridged(t *testing.T) (stream net.Conn, card net.Conn, end chan error) {
	t.Helper()
	file, packets, err := packetPair()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	card, err = net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	stream, inner := net.Pipe()
	end = make(chan error, 1)
	go func() { end <- bridge(inner, packets) }()
	for _, c := range []net.Conn{stream, card} {
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		t.Cleanup(func() { c.Close() })
	}
	return stream, card, end
}

// TestBridge: frames of every size go both ways, whole and one by one.
func TestBridge(t *testing.T) {
	stream, card, end := bridged(t)
	for _, n := range []int{1, 60, 1514, 65535} {
		frame := bytes.Repeat([]byte{byte(n)}, n)
		go func() {
			_, _ = stream.Write(append(binary.BigEndian.AppendUint32(nil, uint32(n)), frame...))
		}()
		buf := make([]byte, maxFrame)
		if got, err := card.Read(buf); err != nil || !bytes.Equal(buf[:got], frame) {
			t.Fatalf("the card got %d bytes of %d, %v", got, n, err)
		}
		if _, err := card.Write(frame); err != nil {
			t.Fatal(err)
		}
		back := make([]byte, 4+n)
		if _, err := io.ReadFull(stream, back); err != nil || int(binary.BigEndian.Uint32(back)) != n || !bytes.Equal(back[4:], frame) {
			t.Fatalf("the stream got something else than %d bytes: %v", n, err)
		}
	}
	stream.Close()
	if err := <-end; err != nil {
		t.Errorf("the end: %v", err)
	}
}

func TestBridgeRefusesGiants(t *testing.T) {
	stream, _, end := bridged(t)
	if _, err := stream.Write([]byte{0xff, 0xff, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	if err := <-end; err == nil || !strings.Contains(err.Error(), "a frame of 4294967295 bytes") {
		t.Errorf("error %v", err)
	}
}
