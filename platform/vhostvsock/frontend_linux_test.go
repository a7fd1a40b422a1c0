package vhostvsock

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// TestPause stops the rings in the middle of a transfer, as pausing a VM does, and moves the guest's memory.
func TestPause(t *testing.T) {
	dev, g := newFakeGuest(t, 128, true, false)
	accepted := g.listenOn(1)
	h, c := pair(t, dev, accepted, 1)
	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(i >> 8)
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := h.Write(sent)
		wrote <- errors.Join(err, h.CloseWrite())
	}()
	first := make([]byte, 1000)
	if err := readFull(c, first); err != nil {
		t.Fatal(err)
	}
	other, _ := pair(t, dev, accepted, 1)
	g.restart(false, func() {
		_ = other.SetWriteDeadline(time.Now().Add(time.Millisecond))
		if _, err := other.Write(sent); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write to a paused VM: %v", err)
		}
		g.vm.setMemTable()
	})
	rest, err := io.ReadAll(c)
	if err != nil || len(first)+len(rest) != len(sent) || rest[len(rest)-1] != sent[len(sent)-1] {
		t.Errorf("%d bytes of %d, %v", len(first)+len(rest), len(sent), err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

// TestReboot starts the rings afresh: streams of the old driver end.
func TestReboot(t *testing.T) {
	dev, g := newFakeGuest(t, 128, true, false)
	accepted := g.listenOn(1)
	old, _ := pair(t, dev, accepted, 1)
	g.restart(true, nil)
	if _, err := old.Read(make([]byte, 1)); !errors.Is(err, errRestarted) {
		t.Errorf("read on a stream of the last boot: %v", err)
	}
	pair(t, dev, accepted, 1)
}

// TestBadMessages sends what QEMU would not: it is refused, and no descriptor is kept.
func TestBadMessages(t *testing.T) {
	_, vm := startDevice(t)
	vm.negotiate(true)
	fd := int(vm.memf.Fd())
	region := func(size, offset uint64) []byte {
		b := state(1, 0)
		for _, v := range []uint64{0, size, fakeFront, offset} {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
		return b
	}
	before := openFiles(t)
	for _, m := range []struct {
		name    string
		request uint32
		payload []byte
		fds     []int
	}{
		{"table too short", reqSetMemTable, state(8, 0), []int{fd}},
		{"too many regions", reqSetMemTable, state(1<<31, 0), []int{fd}},
		{"no descriptor", reqSetMemTable, region(4096, 0), nil},
		{"region over the file's end", reqSetMemTable, region(2*fakeRegion, 4096), []int{fd}},
		{"region over 2^64", reqSetMemTable, region(^uint64(0), 4096), []int{fd}},
		{"empty region", reqSetMemTable, region(0, 0), []int{fd}},
		{"queue 2", reqSetVringNum, state(2, 128), nil},
		{"odd number", reqSetVringNum, state(0, 127), nil},
		{"short address", reqSetVringAddr, state(0, 0), nil},
		{"two kicks", reqSetVringKick, u64(0), []int{fd, fd}},
		{"kick by polling", reqSetVringKick, u64(vringNoFD), nil},
		{"foreign feature", reqSetFeatures, u64(1 << 28), nil},
		{"config is read-only", reqSetConfig, make([]byte, 20), nil},
		{"unknown", 99, nil, []int{fd, fd, fd}},
	} {
		vm.send(m.request, msgNeedReply, m.payload, m.fds...)
		if answer, err := vm.reply(); err != nil || binary.LittleEndian.Uint64(answer) == 0 {
			t.Errorf("%s: %v, %v", m.name, answer, err)
		}
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
	if got := binary.LittleEndian.Uint64(vm.ask(reqGetConfig, append(binary.LittleEndian.AppendUint32(state(0, 8), 0), make([]byte, 8)...))[12:]); got != testCID {
		t.Errorf("configured CID %d", got)
	}
	if got := vm.ask(reqGetConfig, append(binary.LittleEndian.AppendUint32(state(4, 8), 0), make([]byte, 8)...)); len(got) != 0 {
		t.Errorf("config beyond its end: %v", got)
	}
	vm.send(reqSetOwner, 0, make([]byte, maxMessage+1))
	if _, err := vm.reply(); err == nil {
		t.Error("an oversized message got a reply")
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
