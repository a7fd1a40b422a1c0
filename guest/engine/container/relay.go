package container

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/moby/moby/api/pkg/stdcopy"
	"golang.org/x/sys/unix"
)

// Stream is a client's connection once it is no HTTP any more. CloseWrite tells the client that the output is over.
type Stream interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// wholeStream is a Stream that cannot end in one direction only: a client that ends its input is gone.
type wholeStream interface{ EndsWhole() bool }

// relay copies both ways between a client and the keeper's stream until the output ends, or the client is gone, and
// closes the keeper's. The end of one direction is passed on and leaves the other open. It returns errDetached when
// in said so.
func relay(client Stream, in io.Reader, stream *net.UnixConn, stdin bool) error {
	defer stream.Close()
	input := make(chan error, 1)
	go func() { input <- relayInput(client, in, stream, stdin) }()
	_, err := io.Copy(client, stream)
	select {
	case inErr := <-input:
		if errors.Is(inErr, errDetached) {
			return errDetached
		}
	default:
	}
	_ = client.CloseWrite()
	client.Close() // ends the input, which may wait for a client that has nothing to say
	return err
}

// relayInput is the direction from the client. It closes the stream, and so ends the output too, when the client has
// detached or is gone: a process that says nothing would never show that.
func relayInput(client Stream, in io.Reader, stream *net.UnixConn, stdin bool) error {
	if stdin {
		_, err := io.Copy(stream, in)
		if errors.Is(err, errDetached) {
			_ = stream.Close()
			return err
		}
		_ = stream.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, client) // nobody wants more
	if gone(client) {
		_ = stream.Close()
	}
	return nil
}

// gone waits until a client that has ended its input is gone altogether, or is closed by us; false when it cannot be
// known. A reader at the end of a stream cannot tell the two apart. On a unix socket poll(2) can; on AF_VSOCK only
// sending can, be it nothing. The runtime's poller wakes us because both are edges to it.
func gone(client Stream) bool {
	if w, ok := client.(wholeStream); ok && w.EndsWhole() {
		return true
	}
	raw := rawConn(client)
	if raw == nil {
		return false
	}
	_ = raw.Read(func(fd uintptr) bool {
		return pollGone(int(fd)) || unix.Send(int(fd), nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT) == unix.EPIPE
	})
	return true
}

// hungUp tells a client that is gone from one that has only ended its input.
func hungUp(client Stream) (gone bool) {
	raw := rawConn(client)
	if raw == nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) { gone = pollGone(int(fd)) })
	return gone
}

func pollGone(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd)}} // POLLHUP and POLLERR are always reported
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0
}

// rawConn is the client's socket, nil when it has none.
func rawConn(client Stream) syscall.RawConn {
	sc, ok := client.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// framed makes each write one of Docker's frames of stdout.
type framed struct{ w io.Writer }

func (f framed) Write(p []byte) (int, error) {
	frame := binary.BigEndian.AppendUint32([]byte{byte(stdcopy.Stdout), 0, 0, 0}, uint32(len(p)))
	if _, err := f.w.Write(append(frame, p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}
