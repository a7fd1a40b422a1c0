package vz

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"naru/platform"
)

// config is a VZVirtualMachineConfiguration as plain data. It depends on the machine and the host alone.
// https://developer.apple.com/documentation/virtualization/vzvirtualmachineconfiguration
type config struct {
	CPUs   int    `json:"cpuCount"`
	Memory uint64 `json:"memorySize"`

	Kernel  string `json:"kernel"`
	Initrd  string `json:"initialRamdisk"`
	Cmdline string `json:"commandLine"`

	Disks  []disk  `json:"storageDevices"`
	Shares []share `json:"directorySharingDevices,omitempty"`
	NIC    *nic    `json:"networkDevice,omitempty"`
	Ports  []port  `json:"consolePorts"`

	Identity string `json:"machineIdentifier,omitempty"` // file that keeps it; without it no state can be restored
}

type disk struct {
	Path       string `json:"path"`
	Identifier string `json:"blockDeviceIdentifier"`
	ReadOnly   bool   `json:"readOnly,omitempty"`
	Caching    string `json:"cachingMode"`
	Sync       string `json:"synchronizationMode"`
}

type share struct {
	Tag      string `json:"tag"`
	Path     string `json:"path,omitempty"`
	ReadOnly bool   `json:"readOnly,omitempty"`
	Rosetta  bool   `json:"rosetta,omitempty"` // Apple's translator instead of a folder
}

type nic struct {
	MAC string `json:"macAddress"`
	MTU int    `json:"maximumTransmissionUnit"`
}

// port is one of the ports of the one console device.
type port struct {
	Name    string `json:"name,omitempty"`
	Console bool   `json:"isConsole,omitempty"`
}

// host is what a configuration depends on beside the machine.
type host struct {
	Arch    string // GOARCH
	MaxCPUs int    // VZVirtualMachineConfiguration.maximumAllowedCPUCount
	Rosetta bool   // installed, so that it can be shared
}

// rosettaTag is the tag under which the guest finds the translator for amd64 programs.
const rosettaTag = "rosetta"

// The framework's limits.
const (
	maxIdentifier = 20 // bytes of a block device's identifier
	maxTag        = 36 // bytes of a share's tag, as in the virtio specification
	minMTU        = 1500
	maxMTU        = 65535
)

// configure is m in the framework's words, or what of m it cannot be.
func configure(m *platform.Machine, h *host) (*config, error) {
	if m.Arch != h.Arch {
		return nil, fmt.Errorf("this Mac runs machines of architecture %s only, not %s", h.Arch, m.Arch)
	}
	c := &config{
		CPUs: m.CPUs, Memory: m.Memory,
		Kernel: m.Kernel, Initrd: m.Initrd, Cmdline: cmdline(m),
		Ports:    []port{{Console: true}},
		Identity: m.Identity,
	}
	if h.MaxCPUs > 0 {
		c.CPUs = min(c.CPUs, h.MaxCPUs)
	}
	if m.Notify != "" {
		c.Ports = append(c.Ports, port{Name: m.Notify})
	}
	if m.NIC != nil {
		if _, err := net.ParseMAC(m.NIC.MAC); err != nil {
			return nil, fmt.Errorf("the network card: %w", err)
		}
		c.NIC = &nic{MAC: m.NIC.MAC, MTU: min(max(m.NIC.MTU, minMTU), maxMTU)}
	}
	for _, d := range m.Disks {
		if len(d.Serial) > maxIdentifier {
			return nil, fmt.Errorf("disk %s: serial %q has more than %d bytes", d.Path, d.Serial, maxIdentifier)
		}
		c.Disks = append(c.Disks, diskOf(d))
	}
	for _, s := range m.Shares {
		if s.Tag == "" || len(s.Tag) > maxTag || s.Tag == rosettaTag {
			return nil, fmt.Errorf("share %s: tag %q must have 1 to %d bytes and not be %q", s.Path, s.Tag, maxTag, rosettaTag)
		}
		c.Shares = append(c.Shares, share{Tag: s.Tag, Path: s.Path, ReadOnly: s.ReadOnly})
	}
	if h.Rosetta && h.Arch == "arm64" {
		c.Shares = append(c.Shares, share{Tag: rosettaTag, Rosetta: true})
	}
	if c.Kernel == "" || c.Initrd == "" {
		return nil, errors.New("the machine has no kernel or no initrd")
	}
	return c, nil
}

// diskOf is a raw image. One that cannot be written needs no flushes.
func diskOf(d platform.Disk) disk {
	sync := "full"
	if d.ReadOnly {
		sync = "none"
	}
	return disk{Path: d.Path, Identifier: d.Serial, ReadOnly: d.ReadOnly, Caching: "cached", Sync: sync}
}

// cmdline completes the kernel's command line. panic=-1 resets at once, after the panic was written to the console.
func cmdline(m *platform.Machine) string {
	return strings.TrimSpace("console=hvc0 panic=-1 " + m.Cmdline)
}
