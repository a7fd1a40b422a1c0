package qemu

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"naru/platform"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestArguments holds the command line of each kind of host. `go test ./platform/qemu -update` writes the files anew.
func TestArguments(t *testing.T) {
	full := func(arch string) *platform.Machine {
		return &platform.Machine{
			Name: "naru0", Arch: arch, CPUs: 2, Memory: 2 << 30,
			Kernel: "/image/vmlinuz", Initrd: "/image/initrd.img", Cmdline: "quiet naru.vm=1",
			Disks: []platform.Disk{
				{Path: "/image/root.erofs", Serial: "naru-root", ReadOnly: true},
				{Path: "/home/a,b/data.img", Serial: "naru-data"},
			},
			Shares:  []platform.Share{{Tag: "share0", Path: "/home/a,b"}, {Tag: "share1", Path: "/srv", ReadOnly: true}},
			NIC:     &platform.NIC{MAC: "5a:94:ef:e4:0c:ee", Socket: "/run/naru/net.sock", MTU: 1500},
			Console: "/run/naru/console.log", Notify: "naru.notify", Run: "/run/naru",
		}
	}
	bare := func(arch string) *platform.Machine {
		m := full(arch)
		m.Shares = nil
		return m
	}
	for _, tt := range []struct {
		name string
		m    *platform.Machine
		h    *host
	}{
		{"linux-amd64-kvm", full("amd64"), &host{OS: "linux", Accel: "kvm", Vsock: vsockKernel, CID: 4711, Sandbox: true}},
		{"linux-amd64-tcg", full("amd64"), &host{OS: "linux", Accel: "tcg", Vsock: vsockUser, CID: 3, Sandbox: true, Firmware: "/usr/share/qemu/qboot.rom"}},
		{"linux-arm64-tcg", full("arm64"), &host{OS: "linux", Accel: "tcg", Vsock: vsockUser, CID: 3, Sandbox: true}},
		{"darwin-arm64-hvf", bare("arm64"), &host{OS: "darwin", Accel: "hvf"}},
		{"windows-amd64-whpx", bare("amd64"), &host{OS: "windows", Accel: "whpx"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := filepath.ToSlash(strings.Join(arguments(tt.m, tt.h), "\n") + "\n")
			path := filepath.Join("testdata", tt.name+".args")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("arguments are not those of %s:\n%s", path, got)
			}
		})
	}
}

func TestParseVersion(t *testing.T) {
	v, err := parseVersion("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\n")
	if err != nil || v != [2]int{7, 2} {
		t.Errorf("version %v, %v", v, err)
	}
	if _, err := parseVersion("something else"); err == nil {
		t.Error("a version was read where there is none")
	}
}
