package vmimage

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kdomanski/iso9660"

	"naru/guest/api"
)

// bootTimeout is generous: under TCG on a busy machine a boot takes a minute.
const bootTimeout = 4 * time.Minute

// TestBootsOnTheOtherArchitecture boots the arm64 image under emulation until its engine answers. The amd64 image is
// booted by every test of the machine context.
func TestBootsOnTheOtherArchitecture(t *testing.T) {
	dir := "../out/image/arm64"
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
		t.Skip("no image for arm64; run `make image ARCH=arm64`")
	}
	qemu, err := exec.LookPath("qemu-system-aarch64")
	if err != nil {
		t.Skip("qemu-system-aarch64 is missing; run `scripts/setup test`")
	}
	ctx, cancel := context.WithTimeout(context.Background(), bootTimeout)
	defer cancel()
	tmp := t.TempDir()
	notices, err := net.Listen("unix", filepath.Join(tmp, "n"))
	if err != nil {
		t.Fatal(err)
	}
	defer notices.Close()
	data := filepath.Join(tmp, "data")
	if err := os.WriteFile(data, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(data, 8<<30); err != nil {
		t.Fatal(err)
	}
	console := filepath.Join(tmp, "console")
	config := configDrive(t, tmp)
	// pauth-impdef: QEMU's default pointer authentication makes the guest five times slower.
	cmd := exec.CommandContext(ctx, qemu, "-M", "virt", "-cpu", "max,pauth-impdef=on", "-accel", "tcg", "-m", "768", "-smp", "2",
		"-nodefaults", "-display", "none", "-no-reboot", "-serial", "file:"+console,
		"-kernel", filepath.Join(dir, "vmlinuz"), "-initrd", filepath.Join(dir, "initrd.img"), "-append", "console=ttyAMA0 quiet panic=-1",
		"-drive", "if=none,id=root,format=raw,readonly=on,file="+filepath.Join(dir, "root.erofs"), "-device", "virtio-blk-pci,drive=root,serial="+api.DiskRoot,
		"-drive", "if=none,id=data,format=raw,file="+data, "-device", "virtio-blk-pci,drive=data,serial="+api.DiskData,
		"-drive", "if=none,id=config,format=raw,readonly=on,file="+config, "-device", "virtio-blk-pci,drive=config,serial="+api.DiskConfig,
		"-device", "virtio-serial-pci", "-chardev", "socket,id=notify,path="+filepath.Join(tmp, "n"), "-device", "virtserialport,chardev=notify,name="+api.NotifyPort)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed, or has failed and said why
		notices.Close()
		close(waited)
	}()
	defer func() { cancel(); <-waited }()
	last := waitReady(notices)
	if last.Kind != api.NoticeReady {
		log, _ := os.ReadFile(console)
		t.Errorf("last notice: %+v\nqemu: %s\nconsole: %s", last, said.String(), log)
	}
}

// waitReady returns the notice that ends the boot, or the last one before the VM ended.
func waitReady(l net.Listener) (last api.Notice) {
	conn, err := l.Accept()
	if err != nil {
		return last
	}
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if json.Unmarshal(lines.Bytes(), &last) == nil && last.Kind != api.NoticeStep {
			return last
		}
	}
	return last
}

// configDrive makes a config drive without network and shares.
func configDrive(t *testing.T, dir string) string {
	t.Helper()
	doc, err := json.Marshal(api.Config{Version: api.Version, Hostname: "naru", Token: "test", Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	w, err := iso9660.NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Cleanup() }()
	if err := w.AddFile(strings.NewReader(string(doc)), api.ConfigFile); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.iso")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := w.WriteTo(f, api.ConfigLabel); err != nil {
		t.Fatal(err)
	}
	return path
}
