package vz

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"naru/platform"
)

var update = flag.Bool("update", false, "write the golden files anew")

func machine(arch string) *platform.Machine {
	return &platform.Machine{
		Name: "naru0", Arch: arch, CPUs: 4, Memory: 2 << 30,
		Kernel: "/image/vmlinuz", Initrd: "/image/initrd.img", Cmdline: "quiet naru.vm=1",
		Disks: []platform.Disk{
			{Path: "/image/root.erofs", Serial: "naru-root", ReadOnly: true},
			{Path: "/Users/a b/data.img", Serial: "naru-data"},
		},
		Shares:   []platform.Share{{Tag: "share0", Path: "/Users/a b"}, {Tag: "share1", Path: "/opt", ReadOnly: true}},
		NIC:      &platform.NIC{MAC: "5a:94:ef:e4:0c:ee", Socket: "/tmp/naru/net.sock", MTU: 1500},
		Console:  "/tmp/naru/console.log",
		Notify:   "naru.notify",
		Run:      "/tmp/naru",
		Identity: "/Users/a b/machine-id",
	}
}

// TestConfigure holds the configuration of each kind of Mac. `go test ./platform/vz -update` writes the files anew.
func TestConfigure(t *testing.T) {
	bare := machine("arm64")
	bare.Shares, bare.NIC, bare.Notify, bare.Identity = nil, nil, "", ""
	for name, tt := range map[string]struct {
		m *platform.Machine
		h *host
	}{
		"apple-silicon": {machine("arm64"), &host{Arch: "arm64", MaxCPUs: 8, Rosetta: true}},
		"intel":         {machine("amd64"), &host{Arch: "amd64", MaxCPUs: 2}},
		"bare":          {bare, &host{Arch: "arm64"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := configure(tt.m, tt.h)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(c, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if string(got)+"\n" != string(want) {
				t.Errorf("the configuration is not that of %s:\n%s", path, got)
			}
		})
	}
}

func TestConfigureRefuses(t *testing.T) {
	h := &host{Arch: "arm64"}
	for want, spoil := range map[string]func(m *platform.Machine){
		"this Mac runs machines of architecture arm64 only": func(m *platform.Machine) { m.Arch = "amd64" },
		"has more than 20 bytes":                            func(m *platform.Machine) { m.Disks[1].Serial = strings.Repeat("x", 21) },
		"must have 1 to 36 bytes":                           func(m *platform.Machine) { m.Shares[0].Tag = strings.Repeat("x", 37) },
		`not be "rosetta"`:                                  func(m *platform.Machine) { m.Shares[0].Tag = "rosetta" },
		"the network card":                                  func(m *platform.Machine) { m.NIC.MAC = "five" },
		"no kernel":                                         func(m *platform.Machine) { m.Kernel = "" },
	} {
		m := machine("arm64")
		spoil(m)
		if _, err := configure(m, h); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
