//go:build !windows

package ipc

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func tempDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "ipc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestListenAndDial(t *testing.T) {
	path := filepath.Join(tempDir(t), "s")
	ln, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the socket: %v, %v", info.Mode(), err)
	}
	if _, err := Listen(path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second Listen: %v", err)
	}
	go func() {
		for { // the second Listen's probe comes first
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	c, err := Dial(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "ping"); err != nil {
		t.Fatal(err)
	}
	if err := c.(Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "ping" {
		t.Errorf("answer %q, %v", got, err)
	}
}

func TestListenReplacesADeadSocket(t *testing.T) {
	path := filepath.Join(tempDir(t), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if _, err := Dial(context.Background(), path); !IsAbsent(err) {
		t.Errorf("Dial of a dead socket: %v", err)
	}
	ln, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if _, err := Dial(context.Background(), path); !IsAbsent(err) {
		t.Errorf("Dial of no socket: %v", err)
	}
}

func TestLongPathIsNamed(t *testing.T) {
	path := filepath.Join(tempDir(t), strings.Repeat("x", 100))
	_, err := Listen(path)
	if err == nil || !strings.Contains(err.Error(), "shorter NARU_HOME") {
		t.Errorf("Listen: %v", err)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(tempDir(t), "lock")
	lock, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := TryLock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("second TryLock: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	lock, err = TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	lock.Unlock()
}
