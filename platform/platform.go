// Package platform is the contract between the host's side and a hypervisor: a VM described as plain data, and three
// small interfaces. A backend (platform/vz, platform/hcs, platform/qemu) translates Machine into its hypervisor's words and
// nothing else; what runs in the guest, and what the streams to it carry, it does not know.
//
// The suite in platform/platformtest says in code what is said here in words; every backend passes it.
package platform

import (
	"context"
	"io"
	"net"
)

// Machine is a VM as plain data, the same on every OS. All paths are absolute.
type Machine struct {
	Name   string // for process lists and logs
	Arch   string // the guest's processor as in GOARCH: "amd64", "arm64"
	CPUs   int
	Memory uint64 // bytes, a multiple of 2 MiB; the most the guest may use, not what it takes from the start

	Kernel  string
	Initrd  string
	Cmdline string // what the guest should do; the backend adds the console and what its hypervisor needs

	Disks  []Disk
	Shares []Share
	NIC    *NIC // nil for no network

	Console string // file for the last MiB or so of the guest's console, made anew at each start
	Notify  string // name of the virtio-serial port whose bytes VM.Notify gives
	Run     string // existing folder of the backend's own for sockets; its path must be short (see platform/ipc)

	Identity string // file in which a hypervisor that needs it keeps who the machine is, made at the first start
}

// Disk is a raw image file, shown to the guest as a virtio disk.
type Disk struct {
	Path     string
	Serial   string // at most 20 bytes; by this the guest finds it
	ReadOnly bool
}

// Share is a folder of the host. The guest mounts it by its tag with the file system that Report.ShareType names.
type Share struct {
	Tag      string // at most 36 bytes
	Path     string
	ReadOnly bool // enforced on the host's side
}

// NIC is a network card. Its other end is a unix stream socket that the caller listens on before Start: each
// Ethernet frame is preceded by its length as 32 bits, big-endian.
type NIC struct {
	MAC    string
	Socket string
	MTU    int // the largest packet, in bytes
}

// Backend is one hypervisor on this host. Its methods are safe for concurrent use.
type Backend interface {
	// Name is the word by which settings and NARU_BACKEND name it.
	Name() string
	// Check finds out what it can do here, without starting anything that stays.
	Check(ctx context.Context, arch string) Report
	// Start starts the machine and returns when its hypervisor has begun to run it, not when the guest has booted.
	// ctx bounds the start, not the machine's life. An error says in one line what is missing, with the
	// hypervisor's own last words when it said any; nothing is left running then.
	Start(ctx context.Context, m *Machine) (VM, error)
}

// Report is what a backend can do on this host.
type Report struct {
	Usable    bool
	Reason    string // why not, for people, with what to install; empty when usable
	Accel     string // "kvm", "vz", "hcs", "hvf", "whpx" or "tcg" (translation: correct, but many times slower)
	Note      string // why it is not a faster one; empty when it is the fastest
	ShareType string // "virtiofs"; empty when folders cannot be shared, and then ShareNote says why
	ShareNote string
}

// VM is one run of a machine. It ends when the guest powers off or resets, when Kill is called, or when this process
// dies, however that comes to pass: no process of it stays behind. Its methods are safe for concurrent use.
type VM interface {
	// Dial opens a stream to an AF_VSOCK port that the guest listens on; the guest sees CID 2 as the peer. The
	// connection has CloseWrite, and each direction ends on its own. Nobody listening there gives an error at once
	// that wraps syscall.ECONNREFUSED or syscall.ECONNRESET; an ended VM gives one too. The caller closes it.
	Dial(ctx context.Context, port uint32) (net.Conn, error)
	// Notify is what the guest writes to its notify port, from the first byte on. It ends with io.EOF when the VM
	// has ended. One reader only.
	Notify() io.Reader
	// Wait returns when the VM and all its helper processes have ended and everything it used is free again: nil
	// when the guest powered itself off or Kill was called, else what went wrong, in one line.
	Wait() error
	// Kill ends the VM as a power cut would. It does not wait; calling it again does nothing.
	Kill()
	// Usage is what the VM takes of the host at this moment.
	Usage() (Usage, error)
}

// Usage is what a VM takes of the host.
type Usage struct {
	Pid    int    // of the hypervisor's process, 0 when it has none of its own
	Memory uint64 // resident bytes, helper processes included

	// ShareFiles is how many files the fullest server of a share holds open, one for each that the guest
	// remembers, and ShareFilesMax how many it can. Both are 0 when that is not known or has no limit.
	ShareFiles, ShareFilesMax int

	// ShareServers are the processes that do in the shares what the guest asks for; with their children, they are all
	// that does. Empty when that is not known.
	ShareServers []int
}
