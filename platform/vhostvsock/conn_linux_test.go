package vhostvsock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/net/nettest"
)

// layouts are the ways a driver may lay out its rings.
var layouts = []struct {
	name            string
	num             uint16
	eventIdx, split bool
}{
	{"event-idx", 128, true, false},
	{"flags", 128, false, true},
	{"tiny", 4, true, true},
	{"tiny-flags", 2, false, false},
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// pair is a stream: the host's end and the guest's.
func pair(t testing.TB, dev *Device, accepted <-chan *guestConn, port uint32) (*conn, *guestConn) {
	t.Helper()
	h, err := dev.Dial(testContext(t), port)
	if err != nil {
		t.Fatal(err)
	}
	return h.(*conn), <-accepted
}

func TestConn(t *testing.T) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			dev, g := newFakeGuest(t, l.num, l.eventIdx, l.split)
			accepted := g.listenOn(1)
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				h, err := dev.Dial(testContext(t), 1)
				if err != nil {
					return nil, nil, nil, err
				}
				c := <-accepted
				return h, c, func() { _ = h.Close(); _ = c.Close() }, nil
			})
		})
	}
}

// TestStreams moves data both ways over 200 streams at once, and ends each by half-closes.
func TestStreams(t *testing.T) {
	dev, g := newFakeGuest(t, 128, true, false)
	accepted := g.listenOn(1)
	var wg sync.WaitGroup
	for i := range 200 {
		h, c := pair(t, dev, accepted, 1)
		wg.Go(func() {
			if _, err := io.Copy(c, c); err != nil {
				t.Error("guest:", err)
			}
			_ = c.CloseWrite()
		})
		wg.Go(func() {
			sent := bytes.Repeat([]byte(fmt.Sprintf("stream %03d;", i)), 30000)
			wg.Go(func() {
				if _, err := h.Write(sent); err != nil {
					t.Error("host:", err)
				}
				if err := h.CloseWrite(); err != nil {
					t.Error("host:", err)
				}
			})
			if got, err := io.ReadAll(h); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("stream %d: %d bytes of %d came back, %v", i, len(got), len(sent), err)
			}
			_ = h.Close()
			_ = c.Close()
		})
	}
	wg.Wait()
}

func TestDial(t *testing.T) {
	dev, g := newFakeGuest(t, 128, true, false)
	if _, err := dev.Dial(testContext(t), 9); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
	h, c := pair(t, dev, g.listenOn(1), 1)
	if got := c.RemoteAddr().(*Addr).CID; got != HostCID {
		t.Errorf("the guest sees CID %d", got)
	}
	if got := h.RemoteAddr().String(); got != "77:1" {
		t.Errorf("remote address %s", got)
	}
	// A guest that never answers: Dial ends with its context, and a late answer is refused.
	reset := make(chan header, 2)
	g.mu.Lock()
	g.packets = func(h header, _ []byte) bool {
		if h.dstPort == 5 {
			reset <- h
		}
		return h.dstPort == 5
	}
	g.mu.Unlock()
	ctx, cancel := context.WithCancel(testContext(t))
	failed := make(chan error)
	go func() {
		_, err := dev.Dial(ctx, 5)
		failed <- err
	}()
	request := <-reset
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if h := <-reset; h.op != opRst {
		t.Errorf("operation %d instead of a reset", h.op)
	}
	g.mu.Lock()
	g.send(header{srcPort: 5, dstPort: request.srcPort, op: opResponse, bufAlloc: 1 << 20}, nil)
	g.mu.Unlock()
	if h := <-reset; h.op != opRst {
		t.Errorf("operation %d instead of a reset", h.op)
	}
}

// TestCloseTimeout closes a stream whose guest reads nothing: data reaches the guest, and the stream is forgotten.
func TestCloseTimeout(t *testing.T) {
	dev, g := newFakeGuest(t, 128, true, false)
	dev.dev.closeTimeout = 1
	h, c := pair(t, dev, g.listenOn(1), 1)
	if _, err := h.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	_ = h.Close()
	g.mu.Lock()
	for !c.gone {
		g.cond.Wait()
	}
	g.mu.Unlock()
	if got, err := io.ReadAll(c); string(got) != "last words" || err != nil {
		t.Errorf("the guest got %q, %v", got, err)
	}
	if n := dev.dev.streamCount(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
	if _, err := h.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
}

func (d *device) streamCount() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.streams)
}
