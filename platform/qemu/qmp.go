package qemu

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// monitor is a QMP session: QEMU's events, and commands that need no answer but an acknowledgement. See QEMU's
// docs/interop/qmp-spec.rst.
type monitor struct {
	conn net.Conn
	in   *json.Decoder
	log  *slog.Logger
	done chan struct{} // closed when run has ended

	// mu guards reset, why the guest asked for a reset, if it did.
	mu    sync.Mutex
	reset string
}

// qmpMessage is any line that QEMU sends.
type qmpMessage struct {
	QMP    *struct{}       `json:"QMP"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
	Event string `json:"event"`
	Data  struct {
		Reason    string `json:"reason"`
		Device    string `json:"device"`
		Node      string `json:"node-name"`
		Operation string `json:"operation"`
		NoSpace   bool   `json:"nospace"`
		Action    string `json:"action"`
	} `json:"data"`
}

// greet takes QEMU's greeting and leaves the negotiation. QEMU greets early and answers late, from its main loop: with
// the answer all devices are there, the kernel is loaded and the machine runs.
func greet(ctx context.Context, conn net.Conn, log *slog.Logger) (*monitor, error) {
	m := &monitor{conn: conn, in: json.NewDecoder(conn), log: log, done: make(chan struct{})}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var hello qmpMessage
	if err := m.in.Decode(&hello); err != nil {
		return nil, fmt.Errorf("read qemu's greeting: %w", err)
	}
	if hello.QMP == nil {
		return nil, fmt.Errorf("read qemu's greeting: it is not one")
	}
	if err := m.send("qmp_capabilities"); err != nil {
		return nil, err
	}
	for {
		var msg qmpMessage
		if err := m.in.Decode(&msg); err != nil {
			return nil, fmt.Errorf("read qemu's answer: %w", err)
		}
		if msg.Error != nil {
			return nil, fmt.Errorf("greet qemu: %s", msg.Error.Desc)
		}
		if msg.Return != nil {
			return m, nil
		}
	}
}

func (m *monitor) send(command string) error {
	_, err := fmt.Fprintf(m.conn, "{\"execute\":%q}\n", command)
	return err
}

// run reads until QEMU hangs up.
func (m *monitor) run() {
	defer close(m.done)
	for {
		var msg qmpMessage
		if err := m.in.Decode(&msg); err != nil {
			return
		}
		switch {
		case msg.Error != nil:
			m.log.Warn("qemu refused a command", "error", msg.Error.Desc)
		case msg.Event == "SHUTDOWN":
			m.log.Debug("the guest's end", "reason", msg.Data.Reason)
			if msg.Data.Reason == "guest-reset" || msg.Data.Reason == "guest-panic" {
				m.mu.Lock()
				m.reset = msg.Data.Reason
				m.mu.Unlock()
			}
		case msg.Event == "BLOCK_IO_ERROR":
			m.log.Error("the host's disk", "node", msg.Data.Node, "operation", msg.Data.Operation,
				"full", msg.Data.NoSpace, "action", msg.Data.Action)
			if msg.Data.Action == "stop" {
				m.continueLater()
			}
		}
	}
}

// fullWait is how long a machine rests that met a full disk of the host, before it tries again.
const fullWait = 3 * time.Second

// continueLater lets the guest go on, and thereby write again: QEMU has stopped it because the host's disk is full,
// which is better than an error that the guest's file system would never forget. When there is still no room the same
// comes again.
func (m *monitor) continueLater() {
	time.AfterFunc(fullWait, func() {
		if err := m.send("cont"); err != nil {
			m.log.Debug("continue", "error", err)
		}
	})
}

// resetReason is why the guest reset, "" when it did not.
func (m *monitor) resetReason() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reset
}
