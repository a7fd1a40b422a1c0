//go:build unix

package vz

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// maxFrame is the largest Ethernet frame: the largest packet, a header and a VLAN tag.
const maxFrame = maxMTU + 18

// packetPair makes the two ends of a network card: a file for the framework and a connection for bridge. Apple asks
// for a receive buffer of at least twice the send buffer, better four times.
// https://developer.apple.com/documentation/virtualization/vzfilehandlenetworkdeviceattachment/maximumtransmissionunit
func packetPair() (*os.File, net.Conn, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make the network card's sockets: %w", err)
	}
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
		_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, 1<<20)
		_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<20)
	}
	theirs, ours := os.NewFile(uintptr(fds[0]), "nic"), os.NewFile(uintptr(fds[1]), "nic")
	defer ours.Close()
	conn, err := net.FileConn(ours) // a copy
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("make the network card's sockets: %w", err)
	}
	return theirs, conn, nil
}

// bridge copies frames between a card that takes each in a datagram and a stream in which each follows its length,
// until one of them ends; then it closes both.
func bridge(stream, packets net.Conn) error {
	done := make(chan error, 2)
	go func() { done <- toStream(stream, packets) }()
	go func() { done <- toPackets(packets, stream) }()
	err := <-done
	_ = stream.Close()
	_ = packets.Close()
	<-done
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func toStream(stream io.Writer, packets io.Reader) error {
	buf := make([]byte, 4+maxFrame)
	for {
		n, err := packets.Read(buf[4:])
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		binary.BigEndian.PutUint32(buf, uint32(n))
		if _, err := stream.Write(buf[:4+n]); err != nil {
			return err
		}
	}
}

func toPackets(packets io.Writer, stream io.Reader) error {
	in := bufio.NewReaderSize(stream, 256<<10)
	buf := make([]byte, maxFrame)
	var header [4]byte
	for {
		if _, err := io.ReadFull(in, header[:]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(header[:])
		if n > maxFrame {
			return fmt.Errorf("a frame of %d bytes, at most %d are possible", n, maxFrame)
		}
		if _, err := io.ReadFull(in, buf[:n]); err != nil {
			return err
		}
		if err := send(packets, buf[:n]); err != nil {
			return err
		}
	}
}

// send writes one frame. macOS answers ENOBUFS while the other end's buffer is full: it is waited for a moment, and
// then the frame is dropped, as a switch would.
func send(packets io.Writer, frame []byte) error {
	for range 20 {
		_, err := packets.Write(frame)
		if !errors.Is(err, syscall.ENOBUFS) {
			return err
		}
		time.Sleep(50 * time.Microsecond)
	}
	return nil
}
