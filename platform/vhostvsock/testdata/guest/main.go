// Command guest is the init of the VM that platform/vhostvsock is tested with: a few services on AF_VSOCK ports.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// modules in the order of their needs (virtio_ring came to be before virtio in some version); those that the kernel
// has built in are not found and not missed.
var modules = []string{
	"virtio_ring", "virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
	"vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport",
}

// services by port. Each gets an accepted stream and the peer's CID.
var services = map[uint32]func(*stream, uint32){
	1: echo,
	2: sink,
	3: source,
	4: func(s *stream, cid uint32) { fmt.Fprint(s, cid) },
	5: halfClosed,
	6: func(s *stream, _ uint32) { fmt.Fprint(s, <-halves) },
	7: dialHost,
}

func main() {
	if err := run(); err != nil {
		fmt.Println("guest:", err)
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() error {
	if err := loadModules(); err != nil {
		return err
	}
	for port, serve := range services {
		l, err := listen(port)
		if err != nil {
			return err
		}
		go accept(l, serve)
	}
	fmt.Println("guest: ready")
	select {}
}

func loadModules() error {
	found := map[string]string{}
	err := filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if name, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok && err == nil && !d.IsDir() {
			found[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range modules {
		path, ok := found[name]
		if !ok {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		flags := 0
		if !strings.HasSuffix(path, ".ko") {
			flags = unix.MODULE_INIT_COMPRESSED_FILE
		}
		if err := unix.FinitModule(int(f.Fd()), "", flags); err != nil && err != unix.EEXIST && name != "virtio_ring" {
			return fmt.Errorf("load %s: %w", path, err)
		}
		_ = f.Close()
	}
	return nil
}

func listen(port uint32) (int, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: port}); err != nil {
		return -1, fmt.Errorf("bind: %w", err)
	}
	return fd, unix.Listen(fd, 256)
}

func accept(l int, serve func(*stream, uint32)) {
	for {
		fd, from, err := unix.Accept4(l, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			fmt.Println("guest: accept:", err)
			continue
		}
		s := &stream{fd: fd, File: os.NewFile(uintptr(fd), "vsock")}
		go func() {
			defer s.Close()
			serve(s, from.(*unix.SockaddrVM).CID)
		}()
	}
}

// stream is an accepted stream.
type stream struct {
	*os.File
	fd int
}

func (s *stream) CloseWrite() error { return unix.Shutdown(s.fd, unix.SHUT_WR) }

// plain keeps io.Copy from asking the kernel to splice, which AF_VSOCK cannot.
type plain struct{ io.ReadWriter }

func echo(s *stream, _ uint32) {
	if _, err := io.CopyBuffer(plain{s}, plain{s}, make([]byte, 64<<10)); err != nil {
		fmt.Println("guest: echo:", err)
	}
	_ = s.CloseWrite()
}

// block is what the test's data consists of, over and over.
var block = func() []byte {
	b := make([]byte, 1<<20)
	r := rand.NewPCG(1, 2)
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}()

// sink reads to the end and answers with the number of bytes, and whether they were right. The first byte says
// whether to look at them.
func sink(s *stream, _ uint32) {
	check := make([]byte, 1)
	_, _ = io.ReadFull(s, check)
	buf := make([]byte, 1<<20)
	total, right := 0, true
	for {
		n, err := io.ReadFull(s, buf)
		if check[0] == 1 && !bytes.Equal(buf[:n], block[:n]) {
			right = false
		}
		total += n
		if err != nil {
			break
		}
	}
	fmt.Fprint(s, total, right)
}

// source writes as many blocks as it is told.
func source(s *stream, _ uint32) {
	var n uint32
	if err := binary.Read(s, binary.LittleEndian, &n); err != nil {
		return
	}
	for range n {
		if _, err := s.Write(block); err != nil {
			fmt.Println("guest: source:", err)
			return
		}
	}
}

var halves = make(chan int64, 1)

// halfClosed sends its half first and then takes what still comes.
func halfClosed(s *stream, _ uint32) {
	fmt.Fprint(s, "my half")
	_ = s.CloseWrite()
	n, _ := io.Copy(io.Discard, plain{s})
	halves <- n
}

// dialHost tries what must not work.
func dialHost(s *stream, _ uint32) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_HOST, Port: 1024})
		_ = unix.Close(fd)
	}
	fmt.Fprint(s, err)
}
