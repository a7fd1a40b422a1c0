package qemu

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"os"
	"runtime"
)

func probeOS(arch string) (*host, error) {
	h := &host{OS: "linux", Accel: "kvm", Vsock: vsockUser, CID: 3, Sandbox: true}
	if why := noKVM(arch); why != "" {
		h.Accel, h.AccelNote = "tcg", why
		if arch == "amd64" && exists(qboot) {
			h.Firmware = qboot
		}
	}
	if kernelVsock() {
		h.Vsock, h.CID = vsockKernel, randomCID()
	}
	return h, nil
}

// qboot is firmware that does what a kernel needs and nothing else: under translation it saves most of a second over
// SeaBIOS. With hardware virtualisation the difference is not worth another way to boot.
const qboot = "/usr/share/qemu/qboot.rom"

// noKVM tells why KVM cannot be used, or nothing. That /dev/kvm opens is not enough: under nested PVM it does, and
// every ordinary guest hangs. Where the processor has the extension and its own module drives it, KVM is real.
func noKVM(arch string) string {
	if arch != runtime.GOARCH {
		return "KVM runs only machines of the host's own architecture"
	}
	if arch == "amd64" {
		info, _ := os.ReadFile("/proc/cpuinfo")
		vmx, svm := hasFlag(info, "vmx"), hasFlag(info, "svm")
		if !vmx && !svm {
			return "KVM is not usable: the processor shows neither vmx nor svm (switched off in the firmware, or a VM without nested virtualisation)"
		}
		if !(vmx && exists("/sys/module/kvm_intel")) && !(svm && exists("/sys/module/kvm_amd")) {
			return "KVM is not usable: neither kvm_intel nor kvm_amd is loaded"
		}
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if os.IsPermission(err) {
		return "KVM is not usable: no permission for /dev/kvm; add yourself to the group kvm"
	}
	if err != nil {
		return "KVM is not usable: " + err.Error()
	}
	_ = f.Close()
	return ""
}

func hasFlag(cpuinfo []byte, flag string) bool {
	for line := range bytes.Lines(cpuinfo) {
		if bytes.HasPrefix(line, []byte("flags")) {
			for _, word := range bytes.Fields(line) {
				if string(word) == flag {
					return true
				}
			}
			return false // the other processors are alike
		}
	}
	return false
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// kernelVsock tells whether the host's kernel can carry AF_VSOCK to a guest, and we may use it.
func kernelVsock() bool {
	f, err := os.OpenFile("/dev/vhost-vsock", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	_ = f.Close()
	f, err = os.OpenFile("/dev/vsock", os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

// randomCID picks a context ID: the kernel's are one number space for all VMs of the host.
func randomCID() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return 1<<16 | binary.LittleEndian.Uint32(b[:])&0x7fffffff
}
