package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"
)

// Names of the inherited sockets, in LISTEN_FDNAMES.
const (
	nameDocker = "docker" // a unix socket: the Docker API
	nameAgent  = "agent"  // AF_VSOCK: streams from the host, each with a Hello
)

// firstInherited is the first descriptor that is handed over; see sd_listen_fds(3).
const firstInherited = 3

// inherited takes the listening sockets that the parent handed over, by their names. LISTEN_PID is not asked for:
// the keeper cannot know it before it forks.
func inherited() (map[string]net.Listener, error) {
	count, _ := strconv.Atoi(os.Getenv("LISTEN_FDS")) // absent: none
	var names []string
	if text := os.Getenv("LISTEN_FDNAMES"); text != "" {
		names = strings.Split(text, ":")
	}
	if len(names) != count {
		return nil, fmt.Errorf("LISTEN_FDS says %d sockets, LISTEN_FDNAMES names %d", count, len(names))
	}
	listeners := map[string]net.Listener{}
	for i, name := range names {
		fd := firstInherited + i
		unix.CloseOnExec(fd)
		file := os.NewFile(uintptr(fd), name)
		ln, err := listener(name, file)
		file.Close() // the listener has a copy
		if err != nil {
			return nil, fmt.Errorf("inherited socket %q: %w", name, err)
		}
		listeners[name] = ln
	}
	for _, v := range []string{"LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"} {
		_ = os.Unsetenv(v)
	}
	return listeners, nil
}

func listener(name string, file *os.File) (net.Listener, error) {
	switch name {
	case nameDocker:
		ln, err := net.FileListener(file)
		if u, ok := ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // it is the keeper's
		}
		return ln, err
	case nameAgent:
		return vsock.FileListener(file)
	}
	return nil, fmt.Errorf("unknown name")
}
