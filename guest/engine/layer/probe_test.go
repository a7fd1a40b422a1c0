package layer

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// probeName is how the test binary is called as a child that is confined and then tries to get out.
const probeName = "naru-unpack-probe"

func init() {
	if os.Args[0] != probeName {
		return
	}
	if err := confine(childOptions{Dir: os.Args[1]}); err != nil {
		fmt.Print(err)
		os.Exit(0)
	}
	fmt.Print(strings.Join(append(reached(), "confined"), "\n"))
	os.Exit(0)
}

// reached is what a confined process can do and must not.
func reached() (out []string) {
	try := func(what string, err error) {
		if err == nil {
			out = append(out, what)
		}
	}
	_, err := os.Stat("/etc/passwd")
	try("the old root", err)
	_, err = os.Stat("/layer/../../etc/passwd")
	try("above the layer", err)
	try("write to the root", os.WriteFile("/f", nil, 0o600))
	_, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	try("a socket", err)
	_, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	try("a unix socket", err)
	try("a mount", unix.Mount("tmpfs", "/layer", "tmpfs", 0, ""))
	try("a namespace", unix.Unshare(unix.CLONE_NEWUSER))
	try("chroot", unix.Chroot("/layer"))
	try("a program", syscall.Exec("/proc/self/exe", []string{"x"}, nil))
	_, _, errno := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
	if errno == 0 {
		out = append(out, "a process")
	}
	_, err = unix.OpenByHandleAt(unix.AT_FDCWD, unix.NewFileHandle(1, make([]byte, 8)), 0)
	if err != unix.EPERM {
		out = append(out, fmt.Sprint("a handle: ", err))
	}
	try("another user", unix.Setuid(1))
	if entries, err := os.ReadDir("/"); err != nil || len(entries) != 2 {
		out = append(out, fmt.Sprint("the root holds ", entries, err))
	}
	if err := os.WriteFile("/layer/device-test", nil, 0o600); err != nil {
		out = append(out, "cannot write to the layer: "+err.Error())
	}
	if err := unix.Mknod("/layer/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		out = append(out, "cannot make a device: "+err.Error())
	}
	_, err = os.Open("/layer/null")
	try("open a device", err)
	if status, err := os.ReadFile("/proc/self/status"); err != nil || !strings.Contains(string(status), fmt.Sprintf("CapEff:\t%016x", uint64(kept))) {
		out = append(out, fmt.Sprint("capabilities ", string(status), err))
	}
	return out
}

func probe(t *testing.T, dir string) (string, error) {
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Args = []string{probeName, dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
