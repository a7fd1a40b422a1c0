package vhostvsock

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const vmTimeout = 4 * time.Minute

const howToRun = "d=$(mktemp -d) && cd $d && apt-get download linux-image-6.12-cloud-amd64 " +
	"$(apt-cache depends linux-image-6.12-cloud-amd64 | awk '/Depends: linux-image/{print $2}') && " +
	"for f in *.deb; do dpkg-deb -x $f .; done && NARU_TEST_KERNEL=$d go test ./platform/vhostvsock"

// kernel is what the test's VM boots: a folder in which a Debian kernel package was unpacked, or the project's own
// image, whose modules lie where it was made.
type kernel struct {
	image, initrd string
	modules       []string
}

func findKernel(t testing.TB) kernel {
	t.Helper()
	dir, dirs := os.Getenv("NARU_TEST_KERNEL"), []string(nil)
	if dir == "" {
		dir = filepath.Join("..", "..", "out", "image", runtime.GOARCH)
		dirs, _ = filepath.Glob(filepath.Join("..", "..", ".cache", "image", runtime.GOARCH+"-*", "modules"))
	}
	var k kernel
	for _, d := range append(dirs, dir) {
		k.look(d)
	}
	if k.image == "" || runtime.GOARCH != "amd64" {
		t.Skipf("no amd64 kernel in %s; to run this: make image, or: %s", dir, howToRun)
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("no QEMU; to run this: apt-get install -y qemu-system-x86")
	}
	return k
}

func (k *kernel) look(dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := filepath.Base(path)
		switch {
		case err != nil || d.IsDir():
		case strings.HasPrefix(name, "vmlinuz"):
			k.image = path
		case strings.HasPrefix(name, "initr"):
			k.initrd = path
		case strings.Contains(name, ".ko") && (strings.Contains(name, "virtio") || strings.HasPrefix(name, "vsock.ko")):
			k.modules = append(k.modules, path)
		}
		return nil
	})
}

// vm is a real VM whose init is testdata/guest.
type vm struct {
	*Device
	monitor string // path of the socket of QEMU's monitor
}

// hmp gives a command to QEMU's monitor and waits until it was done.
func (v *vm) hmp(t testing.TB, command string) {
	t.Helper()
	c, err := net.Dial("unix", v.monitor)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(testTimeout))
	in := bufio.NewReader(c)
	for _, line := range []string{command + "\n", "info status\n"} {
		if _, err := io.WriteString(c, line); err != nil {
			t.Fatal(err)
		}
	}
	for line := ""; !strings.HasPrefix(line, "VM status"); {
		if line, err = in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
}

// startVM boots a VM and returns once it listens.
func startVM(t testing.TB) *vm {
	t.Helper()
	k := findKernel(t)
	dir, err := os.MkdirTemp("", "vs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	initrd := filepath.Join(dir, "initrd")
	if err := os.WriteFile(initrd, initramfs(t, k, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	dev, err := New(Options{Socket: filepath.Join(dir, "s"), CID: 42, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- dev.Run(context.Background()) }()
	console := &console{ready: make(chan struct{})}
	qemu := exec.Command("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "q35,memory-backend=mem,hpet=off", "-accel", "tcg,thread=multi", "-cpu", "qemu64,+ssse3,+sse4.2,+popcnt",
		"-m", "256M", "-object", "memory-backend-memfd,id=mem,size=256M,share=on",
		"-monitor", "unix:"+filepath.Join(dir, "m")+",server=on,wait=off", "-kernel", k.image, "-initrd", initrd, "-serial", "stdio",
		"-append", "console=ttyS0 quiet panic=-1 nokaslr cryptomgr.notests no_timer_check rdinit=/naru-test-init",
		"-chardev", "socket,id=vs,path="+filepath.Join(dir, "s"), "-device", "vhost-user-vsock-pci,chardev=vs")
	qemu.Stdout, qemu.Stderr = console, console
	if err := qemu.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = qemu.Wait()
	}()
	t.Cleanup(func() {
		_ = qemu.Process.Kill()
		<-exited
		if err := <-ran; err != nil {
			t.Errorf("Run after QEMU has gone: %v", err)
		}
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-console.ready:
	case <-exited:
		t.Fatalf("QEMU ended:\n%s", console)
	case <-time.After(vmTimeout):
		t.Fatalf("the VM does not boot:\n%s", console)
	}
	return &vm{Device: dev, monitor: filepath.Join(dir, "m")}
}

// initramfs is the image's own, if there is one, and behind it a cpio archive with the test's init and the modules.
func initramfs(t testing.TB, k kernel, dir string) []byte {
	t.Helper()
	guest := filepath.Join(dir, "init")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", guest, "./testdata/guest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the guest's init: %v\n%s", err, out)
	}
	var b bytes.Buffer
	if k.initrd != "" {
		b.Write(readFile(t, k.initrd))
	}
	b.Write(make([]byte, -b.Len()&3))
	writeCpio(&b, "naru-test-init", readFile(t, guest), 0o100755)
	for _, m := range k.modules {
		writeCpio(&b, filepath.Base(m), readFile(t, m), 0o100644)
	}
	writeCpio(&b, "TRAILER!!!", nil, 0)
	return b.Bytes()
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// writeCpio appends one file in the format newc.
func writeCpio(b *bytes.Buffer, name string, data []byte, mode int) {
	fields := []int{0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0}
	start := b.Len()
	b.WriteString("070701")
	for _, f := range fields {
		fmt.Fprintf(b, "%08x", f)
	}
	b.WriteString(name + "\x00")
	b.Write(make([]byte, -(b.Len()-start)&3))
	b.Write(data)
	b.Write(make([]byte, -(b.Len()-start)&3))
}

// console collects what the VM prints, and hears of it being ready. Only QEMU's copier writes to it.
type console struct {
	text  bytes.Buffer
	ready chan struct{}
	done  bool
}

func (c *console) Write(p []byte) (int, error) {
	if c.done {
		return os.Stderr.Write(p)
	}
	c.text.Write(p)
	if bytes.Contains(c.text.Bytes(), []byte("guest: ready")) {
		c.done = true
		close(c.ready)
	}
	if c.text.Len() > 1<<20 {
		return 0, errors.New("the VM prints too much")
	}
	return len(p), nil
}

func (c *console) String() string { return c.text.String() }
