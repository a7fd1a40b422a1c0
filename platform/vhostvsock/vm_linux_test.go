package vhostvsock

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

const vmBlocks = 256 // of 1 MiB, each way

// vmBlock is the block of testdata/guest.
var vmBlock = sync.OnceValue(func() []byte {
	b := make([]byte, 1<<20)
	r := rand.NewPCG(1, 2)
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
})

// TestVM does the real thing: Linux's own driver in a VM under QEMU.
func TestVM(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a VM; to run this: go test ./platform/vhostvsock")
	}
	dev := startVM(t)
	t.Run("peer is the host", func(t *testing.T) {
		if got := all(t, dialVM(t, dev, 4)); got != "2" {
			t.Errorf("the guest sees CID %s", got)
		}
	})
	t.Run("host does not listen", func(t *testing.T) {
		if got := all(t, dialVM(t, dev, 7)); !strings.Contains(got, "reset") {
			t.Errorf("the guest's connect: %s", got)
		}
	})
	t.Run("to the guest", func(t *testing.T) { toGuest(t, dev, true) })
	t.Run("from the guest", func(t *testing.T) { fromGuest(t, dev, true) })
	t.Run("half-close by the guest", func(t *testing.T) {
		c := dialVM(t, dev, 5)
		if got := all(t, c); got != "my half" {
			t.Errorf("got %q", got)
		}
		if _, err := c.Write(vmBlock()); err != nil {
			t.Error(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
		if got := all(t, dialVM(t, dev, 6)); got != fmt.Sprint(len(vmBlock())) {
			t.Errorf("after its half-close the guest got %s bytes", got)
		}
	})
	t.Run("pause", func(t *testing.T) { pauseVM(t, dev) })
	t.Run("200 streams", func(t *testing.T) { manyStreams(t, dev) })
}

func dialVM(t testing.TB, dev *vm, port uint32) *conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	c, err := dev.Dial(ctx, port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(vmTimeout))
	return c.(*conn)
}

func all(t testing.TB, c *conn) string {
	t.Helper()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// toGuest sends blocks; the guest answers the host's half-close with what it got.
func toGuest(t testing.TB, dev *vm, check bool) {
	t.Helper()
	c := dialVM(t, dev, 2)
	first := []byte{0}
	if check {
		first[0] = 1
	}
	if _, err := c.Write(first); err != nil {
		t.Fatal(err)
	}
	for range vmBlocks {
		if _, err := c.Write(vmBlock()); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	if got, want := all(t, c), fmt.Sprint(vmBlocks<<20, true); got != want {
		t.Errorf("the guest got %s, want %s", got, want)
	}
}

func fromGuest(t testing.TB, dev *vm, check bool) {
	t.Helper()
	c := dialVM(t, dev, 3)
	if _, err := c.Write([]byte{vmBlocks & 0xff, vmBlocks >> 8, 0, 0}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, len(vmBlock()))
	for i := range vmBlocks {
		if n, err := io.ReadFull(c, buf); err != nil || check && !bytes.Equal(buf, vmBlock()) {
			t.Fatalf("block %d: %d bytes, %v", i, n, err)
		}
	}
	if n, err := c.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d bytes, %v", n, err)
	}
}

// pauseVM pauses the VM between blocks of an echo, so that data is under way in both directions.
func pauseVM(t *testing.T, dev *vm) {
	c := dialVM(t, dev, 1)
	const blocks = 16
	wrote := make(chan error, 1)
	go func() {
		for range blocks {
			if _, err := c.Write(vmBlock()); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- c.CloseWrite()
	}()
	buf := make([]byte, len(vmBlock()))
	for i := range blocks {
		if i%4 == 1 {
			dev.hmp(t, "stop")
			dev.hmp(t, "cont")
		}
		if n, err := io.ReadFull(c, buf); err != nil || !bytes.Equal(buf, vmBlock()) {
			t.Fatalf("block %d: %d bytes, %v", i, n, err)
		}
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

// manyStreams opens 200 streams, and only when all are open, echoes over each.
func manyStreams(t *testing.T, dev *vm) {
	var conns []*conn
	for range 200 {
		conns = append(conns, dialVM(t, dev, 1))
	}
	var wg sync.WaitGroup
	for i, c := range conns {
		sent := vmBlock()[i*1000 : i*1000+500000]
		wg.Go(func() {
			if _, err := c.Write(sent); err != nil {
				t.Error(err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("stream %d: %d bytes came back, %v", i, len(got), err)
			}
		})
	}
	wg.Wait()
	for _, c := range conns {
		_ = c.Close()
	}
}

func BenchmarkVM(b *testing.B) {
	dev := startVM(b)
	b.Run("to", func(b *testing.B) {
		b.SetBytes(vmBlocks << 20)
		for b.Loop() {
			toGuest(b, dev, false)
		}
	})
	b.Run("from", func(b *testing.B) {
		b.SetBytes(vmBlocks << 20)
		for b.Loop() {
			fromGuest(b, dev, false)
		}
	})
	b.Run("roundtrip", func(b *testing.B) {
		c := dialVM(b, dev, 1)
		p := make([]byte, 1)
		for b.Loop() {
			if _, err := c.Write(p); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c, p); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("dial", func(b *testing.B) {
		for b.Loop() {
			all(b, dialVM(b, dev, 4))
		}
	})
}
