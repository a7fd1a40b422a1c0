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
		if err != nil && !errors.Is(err, unix.ENOBUFS) { // of that many changes some are ours
			return
		}
		if err == nil && !removes(messages) {
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
	if err := conn.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
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
