package qemu

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kdomanski/iso9660"

	"naru/guest/api"
	"naru/platform"
	"naru/platform/platformtest"
)

// image is where `make image` puts the VM image.
func image(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("boots VMs; run: go test ./platform/qemu")
	}
	dir, err := filepath.Abs(filepath.Join("..", "..", "out", "image", runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"vmlinuz", "initrd.img", "root.erofs"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Skip("there is no VM image; run: make image")
		}
	}
	if r := (&Backend{}).Check(t.Context(), runtime.GOARCH); !r.Usable {
		t.Skip(r.Reason)
	}
	return dir
}

const token = "the token of the test"

// testMachine is a machine of the project's own image. Its echo is a shell in the guest that runs cat.
func testMachine(t *testing.T, image string) *platform.Machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "nq") // sockets want short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	data, config := filepath.Join(dir, "data.img"), filepath.Join(dir, "config.iso")
	if err := os.WriteFile(data, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(data, 1<<30); err != nil {
		t.Fatal(err)
	}
	writeConfig(t, config, &api.Config{
		Version: api.Version, Hostname: "test", Token: token, Time: time.Now(),
		Network: api.Network{Address: "192.168.127.2/24", Gateway: "192.168.127.1", DNS: []string{"192.168.127.1"}, MTU: 1500},
	})
	return &platform.Machine{
		Name: "naru-test", Arch: runtime.GOARCH, CPUs: 1, Memory: 512 << 20,
		Kernel: filepath.Join(image, "vmlinuz"), Initrd: filepath.Join(image, "initrd.img"), Cmdline: "quiet",
		Disks: []platform.Disk{
			{Path: filepath.Join(image, "root.erofs"), Serial: api.DiskRoot, ReadOnly: true},
			{Path: data, Serial: api.DiskData},
			{Path: config, Serial: api.DiskConfig, ReadOnly: true},
		},
		NIC:     &platform.NIC{MAC: "5a:94:ef:e4:0c:ee", MTU: 1500, Socket: deafWire(t, dir)},
		Console: filepath.Join(dir, "console.log"), Notify: api.NotifyPort, Run: dir,
	}
}

// deafWire is the other end of a network card, where nobody answers.
func deafWire(t *testing.T, dir string) string {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(dir, "net.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c); c.Close() }()
		}
	}()
	return ln.Addr().String()
}

func writeConfig(t *testing.T, path string, c *api.Config) {
	t.Helper()
	doc, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	w, err := iso9660.NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Cleanup()
	if err := w.AddFile(bytes.NewReader(doc), api.ConfigFile); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := w.WriteTo(f, api.ConfigLabel); err != nil {
		t.Fatal(err)
	}
}

func hello(c net.Conn, h api.Hello) error {
	h.Version, h.Token = api.Version, token
	return json.NewEncoder(c).Encode(h)
}

// setup is what the suite needs to know.
func setup(t *testing.T) platformtest.Setup {
	dir := image(t)
	return platformtest.Setup{
		Backend: &Backend{},
		Machine: func(t *testing.T) *platform.Machine { return testMachine(t, dir) },
		Ready: func(line []byte) bool {
			var n api.Notice
			return json.Unmarshal(line, &n) == nil && n.Kind == api.NoticeReady
		},
		EchoPort: api.PortKeeper,
		Open:     func(c net.Conn) error { return hello(c, api.Hello{Kind: api.KindShell, Command: "cat"}) },
		Poweroff: func(ctx context.Context, vm platform.VM) error {
			c, err := vm.Dial(ctx, api.PortKeeper)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := hello(c, api.Hello{Kind: api.KindControl}); err != nil {
				return err
			}
			return json.NewEncoder(c).Encode(api.ControlRequest{Op: api.OpPoweroff})
		},
		Boot: 3 * time.Minute,
	}
}

// TestSuite holds QEMU to the contract, with a real guest.
func TestSuite(t *testing.T) { platformtest.Run(t, setup(t)) }

// TestShares writes in a shared folder from both sides, and wants a read-only one to be so for a guest that mounts it
// to its own liking.
func TestShares(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("virtiofsd and read-only mounts need root; run: sudo go test ./platform/qemu -run TestShares")
	}
	s := setup(t)
	if r := s.Backend.Check(t.Context(), runtime.GOARCH); r.ShareType == "" {
		t.Skip(r.ShareNote)
	}
	m := s.Machine(t)
	for _, share := range []platform.Share{{Tag: "rw", Path: t.TempDir()}, {Tag: "ro", Path: t.TempDir(), ReadOnly: true}} {
		if err := os.WriteFile(filepath.Join(share.Path, "host"), []byte("from the host"), 0o644); err != nil {
			t.Fatal(err)
		}
		m.Shares = append(m.Shares, share)
	}
	vm := boot(t, s, m)
	var b [8]byte
	_, _ = rand.Read(b[:])
	mark := hex.EncodeToString(b[:])
	out := shell(t, vm, `cd /tmp && mkdir rw ro && mount -t virtiofs rw rw && mount -t virtiofs ro ro &&
		cat rw/host && echo && cat ro/host && echo && echo `+mark+` > rw/guest;
		echo x > ro/guest; rm ro/host; chmod 777 ro/host; ls ro`)
	if !strings.Contains(out, "from the host\nfrom the host\n") || strings.Count(out, "Read-only file system") != 3 {
		t.Errorf("in the guest: %s", out)
	}
	if data, err := os.ReadFile(filepath.Join(m.Shares[0].Path, "guest")); err != nil || string(data) != mark+"\n" {
		t.Errorf("what the guest wrote: %q, %v", data, err)
	}
	if names, _ := filepath.Glob(filepath.Join(m.Shares[1].Path, "*")); len(names) != 1 {
		t.Errorf("in the read-only share: %q", names)
	}
}

// boot starts a machine and waits until it is ready.
func boot(t *testing.T, s platformtest.Setup, m *platform.Machine) platform.VM {
	t.Helper()
	vm, err := s.Backend.Start(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { vm.Kill(); _ = vm.Wait() })
	timer := time.AfterFunc(s.Boot, vm.Kill)
	defer timer.Stop()
	in := json.NewDecoder(vm.Notify())
	for {
		var n api.Notice
		if err := in.Decode(&n); err != nil {
			t.Fatalf("boot: %v (%v)", err, vm.Wait())
		}
		if n.Kind == api.NoticeReady {
			go func() { _, _ = io.Copy(io.Discard, vm.Notify()) }()
			return vm
		}
	}
}

// shell runs a command in the guest.
func shell(t *testing.T, vm platform.VM, command string) string {
	t.Helper()
	c, err := vm.Dial(t.Context(), api.PortKeeper)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	if err := hello(c, api.Hello{Kind: api.KindShell, Command: command}); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestNothingOutlivesUs kills a process of ours that runs a VM, and wants QEMU and virtiofsd to end.
func TestNothingOutlivesUs(t *testing.T) {
	if os.Getenv("NARU_TEST_ORPHAN") == "" {
		orphans(t)
		return
	}
	// The child: start, tell the children's pids, and wait to be killed.
	s := setup(t)
	m := s.Machine(t)
	if os.Geteuid() == 0 {
		m.Shares = []platform.Share{{Tag: "rw", Path: t.TempDir()}}
	}
	v, err := s.Backend.Start(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append([]*child{v.(*vm).qemu}, v.(*vm).helpers...) {
		fmt.Println("pid", c.cmd.Process.Pid)
	}
	fmt.Println("started")
	select {}
}
