// Package qemu runs a machine under QEMU: everywhere QEMU is, and the only backend that needs no hardware
// virtualisation, so it is also what the tests run on.
//
// A start goes through these steps; each failure undoes the ones before it:
//
//	probe the host ─▶ vsock device ─▶ one virtiofsd per share ─▶ qemu ─▶ its QMP greeting ─▶ running
//
// The command line is a pure function of the machine and of what was found on the host (arguments), held by golden
// files for each OS. All children die with this process, kill -9 included (PR_SET_PDEATHSIG).
//
// Shares are virtiofs with cache=auto: the guest asks the host again for attributes and names after one second, and
// for data at each open (close-to-open coherence, as in NFS). cache=none was 20 times slower in reading metadata,
// cache=always never sees what the host changes.
package qemu

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"naru/platform"
)

// Backend is QEMU on this host. The zero value logs nothing.
type Backend struct {
	Log *slog.Logger
}

// Name is "qemu".
func (b *Backend) Name() string { return "qemu" }

// EnvBinary names another QEMU to run, whatever the machine's architecture.
const EnvBinary = "NARU_QEMU"

// Check looks for QEMU, its accelerator and virtiofsd.
func (b *Backend) Check(ctx context.Context, arch string) platform.Report {
	h, err := probe(ctx, arch)
	if err != nil {
		return platform.Report{Reason: err.Error()}
	}
	r := platform.Report{Usable: true, Accel: h.Accel, Note: h.AccelNote, ShareType: "virtiofs"}
	if _, err := findVirtiofsd(); err != nil {
		r.ShareType, r.ShareNote = "", err.Error()
	}
	return r
}

func (b *Backend) log() *slog.Logger {
	if b.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return b.Log
}

// host is what the command line depends on beside the machine.
type host struct {
	OS        string // GOOS
	Binary    string
	Accel     string // "kvm", "hvf", "whpx", "tcg"
	AccelNote string // why not the fastest
	Vsock     string // vsockKernel or vsockUser; "" where the guest cannot be reached
	CID       uint32 // the guest's context ID
	Sandbox   bool   // QEMU was built with seccomp
	Firmware  string // instead of QEMU's default; "" for that
}

const (
	vsockKernel = "kernel" // /dev/vhost-vsock
	vsockUser   = "user"   // platform/vhostvsock
)

// binaries are QEMU's programs by GOARCH.
var binaries = map[string]string{"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}

// minVersion is the first QEMU with -netdev stream and vhost-user-vsock on any OS.
var minVersion = [2]int{7, 2}

// probe finds out what the host has.
func probe(ctx context.Context, arch string) (*host, error) {
	h, err := probeOS(arch)
	if err != nil {
		return nil, err
	}
	name, ok := binaries[arch]
	if !ok {
		return nil, fmt.Errorf("qemu: no machines of architecture %s", arch)
	}
	if h.Binary = os.Getenv(EnvBinary); h.Binary == "" {
		if h.Binary, err = exec.LookPath(name); err != nil {
			return nil, fmt.Errorf("%s is not installed; on Debian: apt install %s", name, debianPackage[arch])
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, h.Binary, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("run %s --version: %w", h.Binary, err)
	}
	version, err := parseVersion(string(out))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.Binary, err)
	}
	if version[0] < minVersion[0] || version[0] == minVersion[0] && version[1] < minVersion[1] {
		return nil, fmt.Errorf("%s is version %d.%d, %d.%d or newer is needed",
			h.Binary, version[0], version[1], minVersion[0], minVersion[1])
	}
	return h, nil
}

var debianPackage = map[string]string{"amd64": "qemu-system-x86", "arm64": "qemu-system-arm"}

var versionPattern = regexp.MustCompile(`version (\d+)\.(\d+)`)

func parseVersion(out string) (v [2]int, err error) {
	m := versionPattern.FindStringSubmatch(out)
	if m == nil {
		return v, fmt.Errorf("cannot read a version from %.80q", out)
	}
	v[0], _ = strconv.Atoi(m[1])
	v[1], _ = strconv.Atoi(m[2])
	return v, nil
}
