//go:build !windows

package ipc

import (
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// inheritedFiles are the sockets that systemd, or another that speaks sd_listen_fds(3), has handed to this process.
var inheritedFiles = sync.OnceValue(func() (files []*os.File) {
	pid, _ := strconv.Atoi(os.Getenv("LISTEN_PID")) // absent: none are for us
	count, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name) // nor for our children
	}
	if pid != os.Getpid() {
		return nil
	}
	const first, most = 3, 16
	for fd := first; fd < first+min(count, most); fd++ {
		syscall.CloseOnExec(fd)
		files = append(files, os.NewFile(uintptr(fd), "inherited "+strconv.Itoa(fd)))
	}
	return files
})

// inherited is the socket at path that this process was started with, nil when there is none. Whoever holds it keeps the
// socket: it is not removed with the listener. Its mode is that of the holder; users are told apart at each connection.
func inherited(path string) (net.Listener, error) {
	for _, f := range inheritedFiles() {
		ln, err := net.FileListener(f)
		if err != nil {
			continue // not a socket that listens
		}
		if u, ok := ln.(*net.UnixListener); ok && u.Addr().String() == path {
			u.SetUnlinkOnClose(false)
			return &sameUser{u}, nil
		}
		_ = ln.Close()
	}
	return nil, nil
}
