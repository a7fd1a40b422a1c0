package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// table is our nftables table (family ip, named as the installation):
//
//	map ports    { proto . port          : container address . port }   published on every address of the host
//	map ports_at { address . proto . port: container address . port }   published on one address
//	chain raw         prerouting -300   nothing to or from 127.0.0.0/8 comes in by a bridge
//	chain prerouting  dstnat            the two maps; not for 127.0.0.0/8, which never comes from outside
//	chain output      dstnat            the two maps, for the host's own connections
//	chain postrouting srcnat            masquerade what leaves a subnet, comes from loopback, or hairpins
//	chain forward     filter            into a bridge: replies and published ports only; within it: all
//
// Publishing a port is one element. A host whose own forward chain drops (Docker's does) still drops: a packet must
// pass every table.
type table struct {
	name string

	// mu guards conn. The socket stays open: closing one waits for the kernel to free what was deleted, 7 ms.
	mu   sync.Mutex
	conn *nftables.Conn // nil until needed, and after a failure
}

// transact queues changes and makes them, all or none.
func (t *table) transact(queue func(c *nftables.Conn) error) error {
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
func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closeLocked()
}

func (t *table) closeLocked() {
	if t.conn != nil {
		_ = t.conn.CloseLasting()
		t.conn = nil
	}
}

func newTable(name string) *table { return &table{name: name} }

func (t *table) ref() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyIPv4, Name: t.name}
}

var (
	hostKey   = nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService)
	hostAtKey = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	destValue = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
)

const mapPorts, mapPortsAt = "ports", "ports_at"

func (t *table) portMap() *nftables.Set {
	return &nftables.Set{Table: t.ref(), Name: mapPorts, IsMap: true, Concatenation: true, KeyType: hostKey, DataType: destValue}
}

func (t *table) portAtMap() *nftables.Set {
	return &nftables.Set{Table: t.ref(), Name: mapPortsAt, IsMap: true, Concatenation: true, KeyType: hostAtKey, DataType: destValue}
}

// published is a binding and where it leads.
type published struct {
	binding
	addr netip.Addr
}

// element returns the map element for p, and whether it belongs into ports_at. Each part of a concatenation is
// padded to four bytes.
func (p published) element() (el nftables.SetElement, at bool) {
	proto := byte(unix.IPPROTO_TCP)
	if p.Proto == "udp" {
		proto = unix.IPPROTO_UDP
	}
	key := append([]byte{proto, 0, 0, 0}, portBytes(p.HostPort)...)
	if ip := p.shownIP(); !ip.IsUnspecified() {
		key, at = append(ip.AsSlice(), key...), true
	}
	return nftables.SetElement{Key: key, Val: append(p.addr.AsSlice(), portBytes(p.Port)...)}, at
}

func portBytes(port uint16) []byte {
	return append(binary.BigEndian.AppendUint16(nil, port), 0, 0)
}

// sync brings the table to exactly this content, in one transaction, so that no packet ever meets half of it.
func (t *table) sync(nets []*netEntry, list []published) error {
	return t.transact(func(c *nftables.Conn) error {
		c.AddTable(t.ref())
		c.DelTable(t.ref()) // whatever was there; the line before makes it never fail
		c.AddTable(t.ref())
		ports, portsAt := t.portMap(), t.portAtMap()
		all, at := split(list)
		if err := errors.Join(c.AddSet(ports, all), c.AddSet(portsAt, at)); err != nil {
			return err
		}
		t.addChains(c, ports, portsAt, nets)
		return nil
	})
}

func split(list []published) (all, at []nftables.SetElement) {
	for _, p := range list {
		if el, specific := p.element(); specific {
			at = append(at, el)
		} else {
			all = append(all, el)
		}
	}
	return all, at
}

// publish adds the elements of list, all or none.
func (t *table) publish(list []published) error {
	return t.change(list, (*nftables.Conn).SetAddElements)
}

// withdraw removes the elements of list.
func (t *table) withdraw(list []published) error {
	return t.change(list, (*nftables.Conn).SetDeleteElements)
}

func (t *table) change(list []published, op func(*nftables.Conn, *nftables.Set, []nftables.SetElement) error) error {
	if len(list) == 0 {
		return nil
	}
	return t.transact(func(c *nftables.Conn) error {
		all, at := split(list)
		if len(all) > 0 {
			if err := op(c, t.portMap(), all); err != nil {
				return err
			}
		}
		if len(at) > 0 {
			return op(c, t.portAtMap(), at)
		}
		return nil
	})
}

// remove deletes the table. Idempotent.
func (t *table) remove() error {
	defer t.close()
	return t.transact(func(c *nftables.Conn) error {
		c.AddTable(t.ref())
		c.DelTable(t.ref())
		return nil
	})
}

// foreignDrop returns the name of another table whose forward chain drops by default, "" when there is none.
func (t *table) foreignDrop() string {
	c, err := nftables.New()
	if err != nil {
		return ""
	}
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return ""
	}
	for _, ch := range chains {
		if ch.Table.Name != t.name && ch.Hooknum != nil && *ch.Hooknum == *nftables.ChainHookForward &&
			ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop {
			return ch.Table.Name + " " + ch.Name
		}
	}
	return ""
}
