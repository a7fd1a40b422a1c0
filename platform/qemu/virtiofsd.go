package qemu

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"naru/platform"
)

// EnvVirtiofsd names another virtiofsd to run.
const EnvVirtiofsd = "NARU_VIRTIOFSD"

// virtiofsd is the daemon that serves one share. There are two of the name: QEMU's own in C (up to QEMU 7.2, Debian
// 12) and its successor in Rust, with other options.
type virtiofsd struct {
	path string
	c    bool // the one in C
}

// cVirtiofsd is where Debian 12's qemu-system-common has it.
const cVirtiofsd = "/usr/lib/qemu/virtiofsd"

// findVirtiofsd looks in PATH first, then where distributions keep it.
func findVirtiofsd() (*virtiofsd, error) {
	if path := os.Getenv(EnvVirtiofsd); path != "" {
		return &virtiofsd{path: path, c: filepath.Clean(path) == cVirtiofsd}, nil
	}
	candidates := []string{"/usr/libexec/virtiofsd", "/usr/lib/virtiofsd"} // Debian 13, Fedora; Arch
	if path, err := exec.LookPath("virtiofsd"); err == nil {
		candidates = append([]string{path}, candidates...)
	}
	for _, path := range candidates {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return &virtiofsd{path: path}, nil
		}
	}
	if _, err := os.Stat(cVirtiofsd); err != nil {
		return nil, errors.New("folders cannot be shared: virtiofsd is not installed; on Debian: apt install virtiofsd (Debian 12: qemu-system-common)")
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("folders cannot be shared: " + cVirtiofsd + " runs as root only, and the one in Rust is not installed")
	}
	return &virtiofsd{path: cVirtiofsd, c: true}, nil
}

// sourceFD is the inherited descriptor of the shared folder, listenFD that of the socket that QEMU connects to.
const (
	listenFD = 3
	sourceFD = 4
)

// command is the daemon's command line. The listening socket is inherited, so that QEMU can connect before the
// daemon has read its options.
//
// RLIMIT_NOFILE stays as it is: to raise it takes CAP_SYS_RESOURCE, which hosts that are containers lack.
func (v *virtiofsd) command(s platform.Share, source string) []string {
	if v.c {
		// It has no option for read-only: the source is a read-only mount then (see openSource), which belongs to
		// no mount namespace, so that only chroot can enter it.
		sandbox := "sandbox=namespace"
		if s.ReadOnly {
			sandbox = "sandbox=chroot"
		}
		// Locks stay the guest's own: the daemon would block its only thread in them.
		return []string{
			"-f", "--fd=" + strconv.Itoa(listenFD), "-o", "source=" + source, "-o", "cache=auto", "-o", "timeout=0", "-o", sandbox,
			"-o", "announce_submounts", "-o", "xattr", "--rlimit-nofile=0", "-o", "log_level=warn",
		}
	}
	sandbox := "--sandbox=chroot"
	if os.Geteuid() != 0 {
		sandbox = "--sandbox=namespace" // makes a user namespace
	}
	words := []string{
		"--fd=" + strconv.Itoa(listenFD), "--shared-dir=" + source, "--cache=auto", sandbox,
		"--announce-submounts", "--xattr", "--rlimit-nofile=0", "--log-level=warn",
	}
	if s.ReadOnly {
		words = append(words, "--readonly")
	}
	return words
}
