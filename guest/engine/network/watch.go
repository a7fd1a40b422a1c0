package network

import (
	"errors"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// watchTable hears of every change of nftables, and writes our table anew when somebody else has removed it or a part of
// it: whoever restarts the host's firewall flushes all tables. It ends when conn is closed.
func (m *Manager) watchTable(conn *netlink.Conn) {
	for {
		messages, err := conn.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			drain(conn)
		case err != nil:
			return
		case !removes(messages):
			continue
		}
		if err := m.mendTable(); err != nil {
			m.opts.Log.Error("network: the nftables table is broken", "table", m.opts.Name, "error", err)
		}
	}
}

// openWatch subscribes to the changes.
func openWatch() (*netlink.Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(watchBuffer) // as far as we may
	if err := conn.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// watchBuffer holds the changes of some dozen flushes and of the rules written anew after each.
const watchBuffer = 4 << 20

// drain takes everything off a connection that has lost changes. Until it is empty once, the kernel tells of no further loss
// (NETLINK_S_CONGESTED): a flush that fell into that time would never be noticed.
func drain(conn *netlink.Conn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		var buf [1]byte // the rest of a message is cut off
		for {
			_, _, err := unix.Recvfrom(int(fd), buf[:], unix.MSG_DONTWAIT)
			if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
				return
			}
		}
	})
}

// removes reports whether a change takes something away that is never taken away alone by us.
func removes(messages []netlink.Message) bool {
	for _, msg := range messages {
		if uint16(msg.Header.Type)>>8 != unix.NFNL_SUBSYS_NFTABLES {
			continue
		}
		switch uint16(msg.Header.Type) & 0xff {
		case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELSET:
			return true
		}
	}
	return false
}

// mendTable looks whether the table is whole, and else writes it anew.
func (m *Manager) mendTable() error {
	whole, err := m.table.whole()
	if err == nil && whole {
		whole, err = m.posts.whole()
	}
	if err != nil || whole {
		return err
	}
	begin := time.Now()
	if err := errors.Join(m.rebuild(), m.posts.sync()); err != nil {
		return err
	}
	m.opts.Log.Warn("network: somebody removed nftables rules of ours, they are written anew", "table", m.opts.Name, "took", time.Since(begin))
	return nil
}
