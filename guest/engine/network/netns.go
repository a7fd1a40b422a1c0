package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hostNS is the network namespace the engine runs in: what a thread goes back to, and where links are made from.
type hostNS struct {
	fd     int
	handle *netlink.Handle // its socket stays in the host's namespace, whatever thread uses it
	// make returns a new namespace that is owned by a user namespace; nil makes them owned by ours.
	make func() (*os.File, error)
}

func openHostNS(make func() (*os.File, error)) (*hostNS, error) {
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the host's network namespace: %w", err)
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return &hostNS{fd: fd, handle: h, make: make}, nil
}

func (h *hostNS) close() {
	h.handle.Close()
	_ = unix.Close(h.fd)
}

// inNewNS runs fn on a thread that was moved into a new network namespace. The namespace lives on only if fn pins it.
func (h *hostNS) inNewNS(fn func() error) error {
	return h.borrow(fn, func() error {
		if err := h.enterNew(); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		return nil
	})
}

// inNS runs fn on a thread that was moved into the namespace pinned at path.
func (h *hostNS) inNS(path string, fn func() error) error {
	return h.borrow(fn, func() error {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open network namespace: %w", &os.PathError{Op: "open", Path: path, Err: err})
		}
		defer unix.Close(fd)
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", path, err)
		}
		return nil
	})
}

// borrow runs fn on a thread of its own that enter has moved.
func (h *hostNS) borrow(fn, enter func() error) error {
	done := make(chan error, 1)
	go func() { done <- h.borrowThread(fn, enter) }()
	return <-done
}

// borrowThread does the work of borrow. When the thread cannot be moved back it stays locked to this goroutine, and
// so ends with it.
func (h *hostNS) borrowThread(fn, enter func() error) error {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		// The main thread shows as /proc/self and cannot be thrown away: hold it while another one does the work.
		defer runtime.UnlockOSThread()
		return h.borrow(fn, enter)
	}
	if err := enter(); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err := fn()
	if back := unix.Setns(h.fd, unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("leave the network namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

// enterNew moves the calling thread into a new network namespace.
func (h *hostNS) enterNew() error {
	if h.make == nil {
		return unix.Unshare(unix.CLONE_NEWNET)
	}
	ns, err := h.make()
	if err != nil {
		return err
	}
	defer ns.Close()
	return unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
}

// pin keeps the calling thread's network namespace alive under path, by a bind mount.
func pin(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o400)
	if err != nil {
		return err
	}
	_ = f.Close()
	if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("pin the network namespace: %w", err)
	}
	return nil
}

// unpin lets go of a namespace: the kernel removes it, with its links, when no process is in it any more. Much
// quicker than deleting the veth pair, which blocks for 28 ms. Idempotent.
func unpin(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unpin %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// drop unpins in the background; Close waits for it.
func (m *Manager) drop(name string) {
	m.drops.Go(func() {
		if err := unpin(filepath.Join(m.pins, name)); err != nil {
			m.opts.Log.Warn("network: namespace is left behind", "name", name, "error", err)
		}
	})
}

// dropLeaked unpins every namespace that is not in keep.
func (m *Manager) dropLeaked(keep map[string]bool) error {
	entries, err := os.ReadDir(m.pins)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !keep[e.Name()] {
			errs = append(errs, unpin(filepath.Join(m.pins, e.Name())))
		}
	}
	return errors.Join(errs...)
}
