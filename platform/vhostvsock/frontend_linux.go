package vhostvsock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// frontend is what QEMU has said. It belongs to the goroutine that reads QEMU's messages.
type frontend struct {
	d        *device
	features uint64
	protocol uint64
	mem      *memory
}

// serve answers QEMU until it goes away, which is no error.
func (f *frontend) serve(conn *net.UnixConn) error {
	for {
		m, err := readMessage(conn)
		if err != nil {
			m.release()
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read message: %w", err)
		}
		answer, err := f.handle(&m)
		m.release()
		if err != nil {
			f.d.log.Error("vhost-user message refused", "request", m.request, "error", err)
		}
		switch {
		case answer != nil:
		case err != nil && replies(m.request):
			return fmt.Errorf("message %d: %w", m.request, err)
		case m.flags&msgNeedReply != 0 && f.protocol&protoReplyAck != 0 && !replies(m.request):
			answer = u64(0)
			if err != nil {
				answer = u64(1)
			}
		case err != nil: // QEMU has no other way to hear of it
			return fmt.Errorf("message %d: %w", m.request, err)
		}
		if answer == nil {
			continue
		}
		if err := reply(conn, m.request, answer); err != nil {
			return fmt.Errorf("reply to message %d: %w", m.request, err)
		}
	}
}

// replies says whether a request has a reply of its own.
func replies(request uint32) bool {
	switch request {
	case reqGetFeatures, reqGetProtocolFeatures, reqGetVringBase, reqGetQueueNum, reqGetConfig:
		return true
	}
	return false
}

func u64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

// handle does one request; the answer is nil for those that have none.
func (f *frontend) handle(m *message) (answer []byte, err error) {
	switch m.request {
	case reqGetFeatures:
		return u64(features), nil
	case reqSetFeatures:
		return nil, f.set(m, &f.features, features)
	case reqGetProtocolFeatures:
		return u64(protocol), nil
	case reqSetProtocolFeatures:
		return nil, f.set(m, &f.protocol, protocol)
	case reqGetQueueNum:
		return u64(queues), nil
	case reqSetOwner, reqResetOwner:
		return nil, nil
	case reqGetConfig:
		return f.getConfig(m)
	case reqSetConfig:
		return nil, errors.New("the configuration is read-only")
	case reqSetMemTable:
		return nil, f.setMemTable(m)
	case reqSetVringErr:
		return nil, nil // the descriptor is closed: errors are logged
	case reqSetVringKick, reqSetVringCall:
		return nil, f.setVringFD(m)
	case reqSetVringNum, reqSetVringBase, reqSetVringEnable, reqGetVringBase:
		return f.vringState(m)
	case reqSetVringAddr:
		return nil, f.setVringAddr(m)
	}
	return nil, fmt.Errorf("unknown request %d", m.request)
}

func (f *frontend) set(m *message, to *uint64, offered uint64) error {
	v, err := m.u64()
	if err != nil {
		return err
	}
	if v&^offered != 0 {
		return fmt.Errorf("features %#x were not offered", v&^offered)
	}
	*to = v
	return nil
}

// getConfig reads struct virtio_vsock_config: the guest's CID.
func (f *frontend) getConfig(m *message) ([]byte, error) {
	const head = 12 // offset, size, flags
	if len(m.payload) < head {
		return nil, errors.New("short message")
	}
	le := binary.LittleEndian
	offset, size := le.Uint32(m.payload[0:]), le.Uint32(m.payload[4:])
	config := u64(uint64(f.d.cid))
	if uint64(offset)+uint64(size) > uint64(len(config)) || len(m.payload) != head+int(size) {
		return []byte{}, nil // an empty payload is the protocol's word for an error
	}
	answer := append([]byte(nil), m.payload...)
	copy(answer[head:], config[offset:offset+size])
	return answer, nil
}

// setMemTable maps the guest's memory anew. Rings may be running, when memory is plugged in.
func (f *frontend) setMemTable(m *message) error {
	le := binary.LittleEndian
	if len(m.payload) < 8 {
		return errors.New("short message")
	}
	n := int(le.Uint32(m.payload))
	if n > maxRegions || len(m.payload) < 8+32*n || len(m.fds) != n {
		return fmt.Errorf("%d regions in %d bytes with %d descriptors", n, len(m.payload), len(m.fds))
	}
	descs := make([]regionDesc, n)
	for i := range descs {
		b := m.payload[8+32*i:]
		descs[i] = regionDesc{guest: le.Uint64(b), size: le.Uint64(b[8:]), front: le.Uint64(b[16:]), offset: le.Uint64(b[24:])}
	}
	mem, err := mapMemory(descs, m.fds)
	if err != nil {
		return err
	}
	old := f.mem
	f.mem = mem
	for _, r := range f.d.rings {
		f.stop(r)
	}
	if old != nil {
		old.unmap()
	}
	return f.settle()
}

// vring finds the queue a message is about.
func (f *frontend) vring(index uint32) (*vring, error) {
	if index >= queues {
		return nil, fmt.Errorf("queue %d of %d", index, queues)
	}
	return f.d.rings[index], nil
}

// vringState does the requests with a struct vhost_vring_state: index and a number.
func (f *frontend) vringState(m *message) ([]byte, error) {
	le := binary.LittleEndian
	if len(m.payload) != 8 {
		return nil, fmt.Errorf("payload of %d bytes instead of 8", len(m.payload))
	}
	index, num := le.Uint32(m.payload), le.Uint32(m.payload[4:])
	r, err := f.vring(index)
	if err != nil {
		return nil, err
	}
	switch m.request {
	case reqSetVringNum:
		if num == 0 || num > maxQueue || num&(num-1) != 0 {
			return nil, fmt.Errorf("queue of %d entries", num)
		}
		f.stop(r)
		r.num = uint16(num)
	case reqSetVringBase:
		f.stop(r)
		r.base = uint16(num)
		if r.base != r.resume {
			// Not where the ring was stopped: the guest's driver begins anew and knows no stream.
			f.d.mu.Lock()
			f.d.resetAll(errRestarted)
			f.d.mu.Unlock()
		}
	case reqSetVringEnable:
		r.enabled = num != 0
		if !r.enabled {
			f.stop(r)
		}
	case reqGetVringBase:
		f.stop(r)
		r.stopKick()
		r.mu.Lock()
		r.broken = false
		r.mu.Unlock()
		r.resume = r.base
		return le.AppendUint32(le.AppendUint32(nil, index), uint32(r.base)), nil
	}
	return nil, f.settle()
}

func (f *frontend) setVringAddr(m *message) error {
	le := binary.LittleEndian
	if len(m.payload) != 40 {
		return fmt.Errorf("payload of %d bytes instead of 40", len(m.payload))
	}
	r, err := f.vring(le.Uint32(m.payload))
	if err != nil {
		return err
	}
	f.stop(r)
	r.at = ringAddrs{desc: le.Uint64(m.payload[8:]), used: le.Uint64(m.payload[16:]), avail: le.Uint64(m.payload[24:])}
	r.placed = true
	return f.settle()
}

// setVringFD takes the eventfd of a kick or a call.
func (f *frontend) setVringFD(m *message) error {
	v, err := m.u64()
	if err != nil {
		return err
	}
	r, err := f.vring(uint32(v & vringIndexMask))
	if err != nil {
		return err
	}
	fd := -1
	if v&vringNoFD == 0 {
		if fd, err = m.takeFD(); err != nil {
			return err
		}
	}
	if m.request == reqSetVringCall {
		r.setCall(fd)
		return nil
	}
	f.stop(r)
	if fd < 0 {
		r.stopKick()
		return errors.New("polling instead of a kick eventfd is not supported")
	}
	kicked := f.d.kickedRX
	if r == f.d.rings[txQueue] {
		kicked = f.d.kickedTX
	}
	if err := r.setKick(fd, kicked); err != nil {
		return err
	}
	return f.settle()
}
