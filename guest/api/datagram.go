package api

import (
	"encoding/binary"
	"fmt"
	"io"
)

// MaxDatagram is the most bytes a datagram may have.
const MaxDatagram = 65535

// WriteDatagram writes one datagram of a KindForward stream to a "udp:" target: its length, two bytes in network order,
// and its bytes, in one Write. buf is used for that, and returned for the next time.
func WriteDatagram(w io.Writer, data, buf []byte) ([]byte, error) {
	if len(data) > MaxDatagram {
		return buf, fmt.Errorf("a datagram of %d bytes is too long", len(data))
	}
	buf = append(binary.BigEndian.AppendUint16(buf[:0], uint16(len(data))), data...)
	_, err := w.Write(buf)
	return buf, err
}

// ReadDatagram reads one into buf, which has room for MaxDatagram bytes, and returns it. io.EOF is the end.
func ReadDatagram(r io.Reader, buf []byte) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	data := buf[:binary.BigEndian.Uint16(length[:])]
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return data, nil
}
