package vhostvsock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// Requests of the vhost-user protocol that this backend knows.
const (
	reqGetFeatures         = 1
	reqSetFeatures         = 2
	reqSetOwner            = 3
	reqResetOwner          = 4
	reqSetMemTable         = 5
	reqSetVringNum         = 8
	reqSetVringAddr        = 9
	reqSetVringBase        = 10
	reqGetVringBase        = 11
	reqSetVringKick        = 12
	reqSetVringCall        = 13
	reqSetVringErr         = 14
	reqGetProtocolFeatures = 15
	reqSetProtocolFeatures = 16
	reqGetQueueNum         = 17
	reqSetVringEnable      = 18
	reqGetConfig           = 24
	reqSetConfig           = 25
)

// Flags of a message.
const (
	msgVersion     = 1
	msgVersionMask = 3
	msgReply       = 1 << 2
	msgNeedReply   = 1 << 3
)

// Features. Offered ones are those that are handled: no indirect descriptors, no packed rings, no dirty log.
const (
	featVersion1 = 1 << 32 // VIRTIO_F_VERSION_1
	featProtocol = 1 << 30 // VHOST_USER_F_PROTOCOL_FEATURES
	featEventIdx = 1 << 29 // VIRTIO_RING_F_EVENT_IDX
	features     = featVersion1 | featProtocol | featEventIdx

	protoMQ       = 1 << 0
	protoReplyAck = 1 << 3
	protoConfig   = 1 << 9
	protocol      = protoMQ | protoReplyAck | protoConfig
)

const (
	vringIndexMask = 0xff
	vringNoFD      = 1 << 8 // of a kick or call message: no descriptor comes with it
)

const (
	msgHeader  = 12
	maxMessage = 4096 // bytes of payload; the longest we know has 268
	maxFDs     = maxRegions
)

// message is one request of QEMU's.
type message struct {
	request uint32
	flags   uint32
	payload []byte
	fds     []int // closed by release, unless a handler has taken one and set it to -1
}

func (m *message) release() {
	for _, fd := range m.fds {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	m.fds = nil
}

// takeFD gives the one descriptor of the message away.
func (m *message) takeFD() (int, error) {
	if len(m.fds) != 1 {
		return -1, fmt.Errorf("%d descriptors instead of one", len(m.fds))
	}
	fd := m.fds[0]
	m.fds[0] = -1
	return fd, nil
}

// u64 is the payload of most messages.
func (m *message) u64() (uint64, error) {
	if len(m.payload) != 8 {
		return 0, fmt.Errorf("payload of %d bytes instead of 8", len(m.payload))
	}
	return binary.LittleEndian.Uint64(m.payload), nil
}

// readMessage reads one message; io.EOF when QEMU has gone. The caller releases it, also after an error.
func readMessage(conn *net.UnixConn) (m message, err error) {
	var head [msgHeader]byte
	oob := make([]byte, unix.CmsgSpace(4*maxFDs))
	for n := 0; n < len(head); {
		r, oobn, flags, _, err := conn.ReadMsgUnix(head[n:], oob)
		if fds, err := parseRights(oob[:oobn]); err != nil {
			return m, err
		} else {
			m.fds = append(m.fds, fds...)
		}
		switch {
		case err != nil:
			return m, err
		case r == 0 && n == 0:
			return m, io.EOF
		case r == 0:
			return m, io.ErrUnexpectedEOF
		case flags&unix.MSG_CTRUNC != 0 || len(m.fds) > maxFDs:
			return m, errors.New("too many descriptors in a message")
		}
		n += r
	}
	le := binary.LittleEndian
	m.request, m.flags = le.Uint32(head[0:]), le.Uint32(head[4:])
	size := le.Uint32(head[8:])
	if m.flags&msgVersionMask != msgVersion || m.flags&msgReply != 0 {
		return m, fmt.Errorf("message %d has flags %#x", m.request, m.flags)
	}
	if size > maxMessage {
		return m, fmt.Errorf("message %d has %d bytes", m.request, size)
	}
	m.payload = make([]byte, size)
	if _, err := io.ReadFull(conn, m.payload); err != nil {
		return m, fmt.Errorf("message %d: %w", m.request, err)
	}
	return m, nil
}

// parseRights collects every descriptor, so that none is left open.
func parseRights(oob []byte) ([]int, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("parse control message: %w", err)
	}
	var all []int
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err == nil {
			all = append(all, fds...)
		}
	}
	return all, nil
}

// reply answers a request with a payload.
func reply(conn *net.UnixConn, request uint32, payload []byte) error {
	b := make([]byte, 0, msgHeader+len(payload))
	le := binary.LittleEndian
	b = le.AppendUint32(b, request)
	b = le.AppendUint32(b, msgVersion|msgReply)
	b = le.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	_, err := conn.Write(b)
	return err
}
