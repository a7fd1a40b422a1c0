package keeperapi

import (
	"fmt"
	"net"
	"syscall"
)

// peek reads without taking: n is 0 at the end of the stream.
func peek(conn *net.UnixConn, buf []byte) (n int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	readErr := raw.Read(func(fd uintptr) bool {
		for {
			n, _, err = syscall.Recvfrom(int(fd), buf, syscall.MSG_PEEK)
			if err != syscall.EINTR {
				return err != syscall.EAGAIN
			}
		}
	})
	if readErr != nil {
		return 0, readErr
	}
	if err != nil {
		return 0, fmt.Errorf("peek: %w", err)
	}
	return n, nil
}
