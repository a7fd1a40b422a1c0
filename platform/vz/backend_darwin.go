//go:build cgo

package vz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	framework "github.com/Code-Hex/vz/v3"

	"naru/platform"
)

// Backend is the Virtualization framework on this Mac. The zero value logs nothing.
type Backend struct {
	Log *slog.Logger
}

// Name is "vz".
func (b *Backend) Name() string { return "vz" }

// oldest is the first macOS with consoles of several ports, machine identifiers and Rosetta for Linux.
const oldest = 13

// Check asks the system whether it can run machines of arch.
func (b *Backend) Check(_ context.Context, arch string) platform.Report {
	version, err := syscall.Sysctl("kern.osproductversion")
	if err != nil {
		return platform.Report{Reason: fmt.Sprintf("the version of macOS cannot be read: %v", err)}
	}
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldest {
		return platform.Report{Reason: fmt.Sprintf("macOS %s is too old, %d or newer is needed", version, oldest)}
	}
	if arch != runtime.GOARCH {
		return platform.Report{Reason: fmt.Sprintf("this Mac runs machines of architecture %s only, not %s", runtime.GOARCH, arch)}
	}
	if on, err := syscall.SysctlUint32("kern.hv_support"); err != nil || on == 0 {
		return platform.Report{Reason: "this Mac cannot virtualise (sysctl kern.hv_support is 0): it may be a virtual machine itself"}
	}
	return platform.Report{Usable: true, Accel: "vz", ShareType: "virtiofs"}
}

func (b *Backend) log() *slog.Logger {
	if b.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return b.Log
}

// Start starts m. The framework has no way to give up a start, so ctx is looked at between the steps.
func (b *Backend) Start(ctx context.Context, m *platform.Machine) (platform.VM, error) {
	c, err := configure(m, &host{
		Arch:    runtime.GOARCH,
		MaxCPUs: int(framework.VirtualMachineConfigurationMaximumAllowedCPUCount()),
		Rosetta: rosettaInstalled(),
	})
	if err != nil {
		return nil, fmt.Errorf("start vz: %w", err)
	}
	v, err := newVM(b.log(), m, c)
	if err != nil {
		return nil, fmt.Errorf("start vz: %w", explain(err))
	}
	if err := errors.Join(ctx.Err(), v.start()); err != nil {
		v.fail()
		return nil, fmt.Errorf("start vz: %w", explain(err))
	}
	return v, nil
}

// explain adds what helps against the framework's most frequent refusal.
func explain(err error) error {
	if strings.Contains(err.Error(), "com.apple.security.virtualization") {
		self, _ := os.Executable()
		return fmt.Errorf("%w (sign it: scripts/macos-sign %s)", err, self)
	}
	return err
}
