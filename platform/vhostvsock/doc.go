// Package vhostvsock is a vhost-user backend for QEMU's vhost-user-vsock-pci: it gives a guest an AF_VSOCK device on
// hosts that have no /dev/vhost-vsock. It runs in the process that owns the VM, because QEMU 7.2 cannot connect to a
// backend again: a backend that dies is lost for that VM.
//
// QEMU is the client of the socket and needs guest memory that can be shared:
//
//	-object memory-backend-memfd,id=mem,size=512M,share=on -machine q35,memory-backend=mem
//	-chardev socket,id=vs,path=P -device vhost-user-vsock-pci,chardev=vs
//
// The host (CID 2) dials and never listens: a connection request of the guest is answered with a reset. A stream goes
// through these states:
//
//	Dial ──REQUEST──▶ connecting ──RESPONSE──▶ open ──Close, SHUTDOWN──▶ closing ──RST or 8 s──▶ gone
//	                      │ RST: ECONNREFUSED    │ RST of the guest, or its full SHUTDOWN (answered by RST)
//	                      └──────────────────────┴──────────────────────────────────────────────▶ gone
//
// The guest is not trusted. Descriptors, lengths, indexes and credit are checked; a stream that breaks the rules is
// reset, and a ring that does is stopped until the driver starts it anew. See virtio 1.2, sections 2.7 and 5.10, and
// QEMU's docs/interop/vhost-user.rst.
package vhostvsock

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
)

// HostCID is the context ID of the host, the local end of every stream.
const HostCID = 2

// ErrUnsupported is what New returns on a system other than little-endian Linux.
var ErrUnsupported = errors.New("vhost-user vsock backend: only on Linux")

// Options describe a Device.
type Options struct {
	// Socket is the path of the unix socket that New makes, at most 107 bytes. A stale socket there is replaced.
	// Whoever connects first gets the device: the folder must be private. The socket is removed once QEMU has
	// connected.
	Socket string
	// CID is the guest's context ID, 3 or more. It need not be unique on the host: nobody else sees this device.
	CID uint32
	// Log gets what the guest or QEMU did wrong; nil for none.
	Log *slog.Logger
}

// Device is the host's end of one guest's vsock. Its methods are safe for concurrent use.
type Device struct {
	dev *device
}

// New makes the socket; when it returns, QEMU may be started. The caller calls Run once and Close at the end.
func New(o Options) (*Device, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dev, err := newDevice(o)
	if err != nil {
		return nil, err
	}
	return &Device{dev: dev}, nil
}

// Run takes QEMU's connection and serves it until QEMU goes away (nil), Close is called (net.ErrClosed) or ctx ends
// (its error). After it every stream is dead and every Dial fails. It must be called once only.
func (d *Device) Run(ctx context.Context) error { return d.dev.run(ctx) }

// Dial connects to a port of the guest. It waits for QEMU and for the guest's driver to be up, and then for the
// guest's answer, for as long as ctx lasts; a port where nobody listens gives an error that is syscall.ECONNREFUSED.
// A device that has ended gives net.ErrClosed.
//
// The conn also has CloseRead and CloseWrite, and its addresses are of type *Addr. The caller closes it.
func (d *Device) Dial(ctx context.Context, port uint32) (net.Conn, error) {
	return d.dev.dial(ctx, port)
}

// Close ends Run, waits for it, and resets all streams. It is idempotent, and may be called without Run.
func (d *Device) Close() error { return d.dev.close() }

// Addr is one end of a stream.
type Addr struct {
	CID  uint32
	Port uint32
}

// Network is "vsock".
func (a *Addr) Network() string { return "vsock" }

// String is "cid:port".
func (a *Addr) String() string {
	return strconv.FormatUint(uint64(a.CID), 10) + ":" + strconv.FormatUint(uint64(a.Port), 10)
}
