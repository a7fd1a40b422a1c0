package qemu

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"

	"naru/platform"
)

// Names of the sockets in Machine.Run. QEMU is the client of each.
const (
	qmpSocket     = "qmp.sock"
	notifySocket  = "notify.sock"
	consoleSocket = "console.sock"
	vsockSocket   = "vsock.sock"
)

func shareSocket(i int) string { return "fs" + strconv.Itoa(i) + ".sock" }

// arguments is QEMU's command line for m on h, without the program's name. It depends on nothing else.
func arguments(m *platform.Machine, h *host) []string {
	a := &args{}
	a.add("-name", escape(m.Name))
	a.add("-nodefaults")
	a.add("-no-user-config")
	a.add("-no-reboot") // a panic ends the VM instead of booting it again
	a.add("-display", "none")
	if h.Sandbox {
		a.add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
	}
	a.hardware(m, h)
	if h.Firmware != "" {
		a.add("-bios", h.Firmware)
	}
	a.add("-kernel", m.Kernel)
	a.add("-initrd", m.Initrd)
	a.add("-append", cmdline(m, h))
	for i, d := range m.Disks {
		a.disk(i, d)
	}
	if m.NIC != nil {
		a.add("-netdev", "stream,id=net0,server=off,addr.type=unix,addr.path="+escape(m.NIC.Socket))
		// romfile= leaves out the boot ROM: nothing boots from the network.
		a.device("virtio-net-pci", "netdev=net0", "mac="+m.NIC.MAC, "host_mtu="+strconv.Itoa(m.NIC.MTU), "romfile=")
	}
	a.vsock(m, h)
	for i, s := range m.Shares {
		a.socket("fs"+strconv.Itoa(i), m, shareSocket(i))
		a.device("vhost-user-fs-pci", "chardev=fs"+strconv.Itoa(i), "tag="+escape(s.Tag), "queue-size=1024")
	}
	a.device("virtio-rng-pci")
	a.device("virtio-balloon-pci", "free-page-reporting=on") // what the guest frees goes back to the host
	if m.Notify != "" {
		a.socket("notify", m, notifySocket)
		a.device("virtio-serial-pci", "max_ports=2")
		a.device("virtserialport", "chardev=notify", "name="+escape(m.Notify))
	}
	a.socket("console", m, consoleSocket)
	a.add("-serial", "chardev:console")
	a.socket("qmp", m, qmpSocket)
	a.add("-mon", "chardev=qmp,mode=control")
	return a.list
}

// args is a command line as it grows.
type args struct{ list []string }

func (a *args) add(words ...string) { a.list = append(a.list, words...) }

func (a *args) device(words ...string) { a.add("-device", strings.Join(words, ",")) }

func (a *args) socket(id string, m *platform.Machine, name string) {
	a.add("-chardev", "socket,id="+id+",path="+escape(filepath.Join(m.Run, name)))
}

// hardware is machine type, processors and memory.
func (a *args) hardware(m *platform.Machine, h *host) {
	size := strconv.FormatUint(m.Memory>>20, 10) + "M"
	machine := "virt,gic-version=max"
	if m.Arch == "amd64" {
		// Not microvm: under TCG it needs a TSC frequency and can hang. What q35 has and a server has not is off:
		// each device is something to probe at boot and something to attack.
		machine = "q35,hpet=off,i8042=off,sata=off,smbus=off,usb=off,vmport=off"
	}
	a.add("-machine", machine+",memory-backend=mem")
	accel := h.Accel
	if accel == "tcg" {
		// Translated code is kept in at most 256 MiB; the default grows to 1 GiB of host memory.
		accel += ",thread=multi,tb-size=256"
	}
	a.add("-accel", accel)
	a.add("-cpu", cpu(m.Arch, h.Accel))
	a.add("-smp", strconv.Itoa(m.CPUs))
	a.add("-m", size)
	if h.OS == "linux" {
		// Shared, since virtiofsd and the vsock backend are other processes or at least not QEMU.
		a.add("-object", "memory-backend-memfd,id=mem,size="+size+",share=on")
	} else {
		a.add("-object", "memory-backend-ram,id=mem,size="+size)
	}
}

// cpu is the processor that the guest sees. With TCG each feature that the kernel uses costs time: on x86 "max" boots
// a quarter slower than this, which is x86-64-v2 with RDRAND; on arm64 real pointer authentication is five times
// slower than QEMU's own.
func cpu(arch, accel string) string {
	switch {
	case accel != "tcg":
		return "host"
	case arch == "amd64":
		return "qemu64,+cx16,+lahf-lm,+popcnt,+sse4.1,+sse4.2,+ssse3,+rdrand"
	default:
		return "max,pauth-impdef=on"
	}
}

// cmdline completes the kernel's command line.
func cmdline(m *platform.Machine, h *host) string {
	words := []string{"console=ttyS0"}
	if m.Arch == "arm64" {
		words[0] = "console=ttyAMA0"
	}
	words = append(words, "panic=-1") // reset at once, which -no-reboot turns into an end
	if m.Arch == "amd64" {
		words = append(words, "no_timer_check")
	}
	if h.Accel == "tcg" {
		// Hiding addresses hides nothing from who translates them. The two calls make sources of keys and random
		// numbers that nothing here uses, and take a quarter of a second.
		words = append(words, "nokaslr")
		if m.Arch == "amd64" {
			words = append(words, "initcall_blacklist=jent_mod_init,init_encrypted")
		}
	}
	if m.Cmdline != "" {
		words = append(words, m.Cmdline)
	}
	return strings.Join(words, " ")
}

// blockdev is a raw image file in QEMU's own words. JSON needs no escaping of commas.
type blockdev struct {
	Driver   string `json:"driver"`
	Node     string `json:"node-name"`
	ReadOnly bool   `json:"read-only"`
	Discard  string `json:"discard"`
	File     struct {
		Driver   string `json:"driver"`
		Filename string `json:"filename"`
		Discard  string `json:"discard"`
	} `json:"file"`
}

// disk adds a disk with a write-back cache: the guest's flush is the host's fdatasync, and what the guest trims is
// a hole in the host's file.
func (a *args) disk(i int, d platform.Disk) {
	dev := blockdev{Driver: "raw", Node: "disk" + strconv.Itoa(i), ReadOnly: d.ReadOnly, Discard: "unmap"}
	dev.File.Driver, dev.File.Filename, dev.File.Discard = "file", d.Path, "unmap"
	data, err := json.Marshal(dev)
	if err != nil {
		panic(err) // strings and booleans only
	}
	a.add("-blockdev", string(data))
	a.device("virtio-blk-pci", "drive="+dev.Node, "serial="+escape(d.Serial))
}

func (a *args) vsock(m *platform.Machine, h *host) {
	switch h.Vsock {
	case vsockKernel:
		a.device("vhost-vsock-pci", "guest-cid="+strconv.FormatUint(uint64(h.CID), 10))
	case vsockUser:
		a.socket("vsock", m, vsockSocket)
		a.device("vhost-user-vsock-pci", "chardev=vsock")
	}
}

// escape doubles commas, which separate QEMU's options.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }
