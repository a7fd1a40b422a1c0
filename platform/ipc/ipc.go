// Package ipc is how processes of one user on one host talk: unix sockets, on Windows named pipes, and locks that
// the kernel drops when their holder dies.
//
// Nobody but the socket's owner can connect: the socket has mode 0600 and each peer's user is asked of the kernel.
// Root may connect to everybody's, as it may do anything else.
package ipc

import (
	"context"
	"errors"
	"net"
)

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// Conn is a connection whose directions can be closed one by one. What Listen and Dial give has CloseWrite on every
// OS; a pipe on Windows sends a message of no bytes for it, as Docker does.
type Conn interface {
	net.Conn
	CloseWrite() error
}

// Listen listens at path. A socket that a dead process left is replaced; one that somebody answers on is an error
// that wraps syscall.EADDRINUSE where the OS has it. The caller closes the listener, which removes the socket.
// Connections of other users are closed before Accept returns them. A socket at path that systemd has handed to this
// process is taken over, and stays.
func Listen(path string) (net.Listener, error) { return listen(path) }

// Dial connects to path. A path nobody listens on gives an error for which IsAbsent holds.
func Dial(ctx context.Context, path string) (net.Conn, error) { return dial(ctx, path) }

// CheckPath tells whether path can be listened on as far as its length goes; on Windows any can.
func CheckPath(path string) error { return checkPath(path) }

// Lock is a lock on a file, held by this process until Unlock or its death.
type Lock struct{ unlock func() error }

// TryLock takes the lock on path, which it makes when missing, or returns ErrLocked at once. The file stays when
// the lock is dropped: removing it would let two processes lock two files of one name.
func TryLock(path string) (*Lock, error) { return tryLock(path) }

// Unlock drops the lock. Call it once.
func (l *Lock) Unlock() error { return l.unlock() }
