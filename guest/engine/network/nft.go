package network

import (
	"errors"
	"fmt"
	"sync"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// nft makes changes of an nftables table of ours.
type nft struct {
	name string

	// mu guards conn. The socket stays open: closing one waits for the kernel to free what was deleted, 7 ms.
	mu   sync.Mutex
	conn *nftables.Conn // nil until needed, and after a failure
}

// transact queues changes and makes them, all or none.
func (t *nft) transact(queue func(c *nftables.Conn) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil {
		c, err := nftables.New(nftables.AsLasting())
		if err != nil {
			return err
		}
		t.conn = c
	}
	err := queue(t.conn)
	if err == nil {
		err = t.conn.Flush()
	}
	if err != nil {
		t.closeLocked()
		return fmt.Errorf("change nftables table %s: %w", t.name, err)
	}
	return nil
}

// close gives the socket back; the table can still be used.
func (t *nft) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closeLocked()
}

func (t *nft) closeLocked() {
	if t.conn != nil {
		_ = t.conn.CloseLasting()
		t.conn = nil
	}
}

// countRules counts the rules of a table, 0 when it is not there.
func countRules(table *nftables.Table) (count int, err error) {
	c, err := nftables.New()
	if err != nil {
		return 0, err
	}
	chains, err := c.ListChainsOfTableFamily(table.Family)
	if err != nil {
		return 0, err
	}
	for _, ch := range chains {
		if ch.Table.Name != table.Name {
			continue
		}
		rules, err := c.GetRules(table, ch)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return 0, err
		}
		count += len(rules)
	}
	return count, nil
}
