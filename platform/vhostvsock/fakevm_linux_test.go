package vhostvsock

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	testCID     = 77
	testTimeout = 30 * time.Second

	fakeRegion = 8 << 20 // bytes of each of the two regions of the fake VM's memory
	fakeHigh   = 4 << 30 // guest physical address of the second
	fakeFront  = 0x7f0000000000
)

// fakeVM is QEMU's side of the socket, with memory that it truly shares.
type fakeVM struct {
	t    testing.TB
	conn *net.UnixConn
	memf *os.File
	mem  []byte
	kick [queues]*os.File
	call [queues]*os.File
}

// startDevice runs a Device and connects a fake VM to it, which has said nothing yet.
func startDevice(t testing.TB) (*Device, *fakeVM) {
	t.Helper()
	dir, err := os.MkdirTemp("", "vs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	dev, err := New(Options{Socket: path, CID: testCID})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		_ = dev.Run(context.Background())
	}()
	t.Cleanup(func() {
		_ = dev.Close()
		<-ran
		_ = conn.Close()
	})
	vm := &fakeVM{t: t, conn: conn}
	fd, err := unix.MemfdCreate("fakevm", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	vm.memf = os.NewFile(uintptr(fd), "memfd")
	t.Cleanup(func() { _ = vm.memf.Close() })
	if err := vm.memf.Truncate(2 * fakeRegion); err != nil {
		t.Fatal(err)
	}
	vm.mem, err = unix.Mmap(fd, 0, 2*fakeRegion, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(vm.mem) })
	return dev, vm
}

// at is the memory at a guest physical address.
func (vm *fakeVM) at(addr uint64, n int) []byte {
	if addr >= fakeHigh {
		addr = addr - fakeHigh + fakeRegion
	}
	return vm.mem[addr : addr+uint64(n) : addr+uint64(n)]
}

// send sends one message.
func (vm *fakeVM) send(request, flags uint32, payload []byte, fds ...int) {
	vm.t.Helper()
	le := binary.LittleEndian
	b := le.AppendUint32(nil, request)
	b = le.AppendUint32(b, msgVersion|flags)
	b = le.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if _, _, err := vm.conn.WriteMsgUnix(b, oob, nil); err != nil {
		vm.t.Fatalf("message %d: %v", request, err)
	}
}

// reply reads the payload of a reply.
func (vm *fakeVM) reply() ([]byte, error) {
	_ = vm.conn.SetReadDeadline(time.Now().Add(testTimeout))
	var head [msgHeader]byte
	if err := readFull(vm.conn, head[:]); err != nil {
		return nil, err
	}
	payload := make([]byte, binary.LittleEndian.Uint32(head[8:]))
	return payload, readFull(vm.conn, payload)
}

func readFull(c net.Conn, b []byte) error {
	for len(b) > 0 {
		n, err := c.Read(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// ask sends a message that has a reply.
func (vm *fakeVM) ask(request uint32, payload []byte) []byte {
	vm.t.Helper()
	vm.send(request, 0, payload)
	answer, err := vm.reply()
	if err != nil {
		vm.t.Fatalf("message %d: %v", request, err)
	}
	return answer
}

// tell sends a message and waits until it was done.
func (vm *fakeVM) tell(request uint32, payload []byte, fds ...int) {
	vm.t.Helper()
	vm.send(request, msgNeedReply, payload, fds...)
	answer, err := vm.reply()
	if err != nil || binary.LittleEndian.Uint64(answer) != 0 {
		vm.t.Fatalf("message %d: reply %v, %v", request, answer, err)
	}
}

func state(index, num uint32) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, index), num)
}

// negotiate is what QEMU does first.
func (vm *fakeVM) negotiate(eventIdx bool) {
	vm.t.Helper()
	vm.send(reqSetOwner, 0, nil)
	if got := binary.LittleEndian.Uint64(vm.ask(reqGetFeatures, nil)); got != features {
		vm.t.Fatalf("features %#x", got)
	}
	vm.ask(reqGetProtocolFeatures, nil)
	vm.send(reqSetProtocolFeatures, 0, u64(protocol))
	want := uint64(featVersion1 | featProtocol)
	if eventIdx {
		want |= featEventIdx
	}
	vm.tell(reqSetFeatures, u64(want))
	vm.setMemTable()
}

func (vm *fakeVM) setMemTable() {
	vm.t.Helper()
	table := state(2, 0)
	for i, guest := range []uint64{0, fakeHigh} {
		for _, v := range []uint64{guest, fakeRegion, fakeFront + guest, uint64(i) * fakeRegion} {
			table = binary.LittleEndian.AppendUint64(table, v)
		}
	}
	fd := int(vm.memf.Fd())
	vm.tell(reqSetMemTable, table, fd, fd)
}

// fakeRing is the driver's side of one queue. Each descriptor has a buffer of its own.
type fakeRing struct {
	vm       *fakeVM
	index    int
	num      uint16
	base     uint64 // guest physical: descriptors, then avail, then used, a page apart
	bufs     uint64
	bufSize  int
	eventIdx bool
	availIdx uint16
	usedIdx  uint16
}

func (vm *fakeVM) newRing(index int, num uint16, base, bufs uint64, bufSize int, eventIdx bool) *fakeRing {
	return &fakeRing{vm: vm, index: index, num: num, base: base, bufs: bufs, bufSize: bufSize, eventIdx: eventIdx}
}

const fakeRingPart = 0x5000 // room for 1024 descriptors

func (r *fakeRing) avail() []byte { return r.vm.at(r.base+fakeRingPart, fakeRingPart) }
func (r *fakeRing) used() []byte  { return r.vm.at(r.base+2*fakeRingPart, fakeRingPart) }

// buf is the buffer of a descriptor.
func (r *fakeRing) buf(i uint16) []byte {
	return r.vm.at(r.bufs+uint64(i)*uint64(r.bufSize), r.bufSize)
}

// start tells the device of the ring, as QEMU does when the driver is ready.
func (r *fakeRing) start(base uint16) {
	vm, i := r.vm, uint32(r.index)
	vm.t.Helper()
	vm.tell(reqSetVringNum, state(i, uint32(r.num)))
	vm.tell(reqSetVringBase, state(i, uint32(base)))
	addr := state(i, 0)
	for _, v := range []uint64{r.base, r.base + 2*fakeRingPart, r.base + fakeRingPart, 0} {
		addr = binary.LittleEndian.AppendUint64(addr, fakeFront+v)
	}
	vm.tell(reqSetVringAddr, addr)
	if vm.kick[r.index] == nil {
		vm.kick[r.index], vm.call[r.index] = vm.eventfd(), vm.eventfd()
	}
	fd := func(f *os.File) (n int) {
		c, _ := f.SyscallConn()
		_ = c.Control(func(p uintptr) { n = int(p) })
		return n
	}
	vm.tell(reqSetVringKick, u64(uint64(i)), fd(vm.kick[r.index]))
	vm.tell(reqSetVringCall, u64(uint64(i)), fd(vm.call[r.index]))
	vm.tell(reqSetVringEnable, state(i, 1))
}

func (vm *fakeVM) eventfd() *os.File {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		vm.t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "eventfd")
	vm.t.Cleanup(func() { _ = f.Close() })
	return f
}

// setDesc writes a descriptor.
func (r *fakeRing) setDesc(i uint16, addr uint64, size uint32, flags, next uint16) {
	d := r.vm.at(r.base+uint64(i)*descSize, descSize)
	le := binary.LittleEndian
	le.PutUint64(d, addr)
	le.PutUint32(d[8:], size)
	le.PutUint16(d[12:], flags)
	le.PutUint16(d[14:], next)
}

// offer makes chains available and kicks if the device wants it.
func (r *fakeRing) offer(heads ...uint16) {
	old := r.availIdx
	for _, h := range heads {
		binary.LittleEndian.PutUint16(r.avail()[4+2*(r.availIdx%r.num):], h)
		r.availIdx++
	}
	atomic.StoreUint32(word(r.avail(), 0), uint32(r.availIdx)<<16)
	flags := atomic.LoadUint32(word(r.used(), 0))
	wanted := flags&usedNoNotify == 0
	if r.eventIdx {
		event := binary.LittleEndian.Uint16(r.used()[4+8*int(r.num):])
		wanted = r.availIdx-event-1 < r.availIdx-old
	}
	if wanted {
		r.kickNow()
	}
}

func (r *fakeRing) kickNow() { _, _ = r.vm.kick[r.index].Write(one[:]) }

// reap calls f for each chain that came back, and leaves interrupts on.
func (r *fakeRing) reap(f func(head uint16, n uint32)) {
	for {
		idx := uint16(atomic.LoadUint32(word(r.used(), 0)) >> 16)
		for ; r.usedIdx != idx; r.usedIdx++ {
			at := 4 + 8*int(r.usedIdx%r.num)
			f(uint16(*word(r.used(), at)), *word(r.used(), at+4))
		}
		if r.eventIdx {
			binary.LittleEndian.PutUint16(r.avail()[4+2*int(r.num):], r.usedIdx)
			atomic.StoreUint32(word(r.avail(), 0), uint32(r.availIdx)<<16)
		}
		if uint16(atomic.LoadUint32(word(r.used(), 0))>>16) == r.usedIdx {
			return
		}
	}
}

// wait waits for the device's interrupt; false when the VM is gone.
func (r *fakeRing) wait() bool {
	var b [8]byte
	_, err := r.vm.call[r.index].Read(b[:])
	return err == nil
}
