//go:build !linux

package qemu

import (
	"errors"
	"runtime"
)

// errNoStream is why QEMU cannot carry a machine here yet. Everything else, the command line included, is ready.
var errNoStream = errors.New("qemu has no AF_VSOCK on " + runtime.GOOS + ", so the machine's engine cannot be reached; " +
	"the backends of this OS' own hypervisor are not there yet")

func probeOS(string) (*host, error) { return nil, errNoStream }
