package network

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"golang.org/x/sys/unix"
)

// table is our nftables table (family inet, named as the installation):
//
//	set bridges, internal, masq { interface }   our bridges; those of internal networks; those whose traffic is masqueraded
//	set within, icc { interface . interface }   each bridge with itself; the same for those whose containers may talk
//	map ports    { proto . port          : container address . port }   published on every IPv4 address of the host
//	map ports_at { address . proto . port: container address . port }   published on one address
//	map ports6, ports6_at                                               the same for IPv6
//	chain raw         prerouting -300   nothing to or from 127.0.0.0/8 comes in by a bridge
//	chain prerouting  dstnat            the maps; not for 127.0.0.0/8, which never comes from outside
//	chain alive       dstnat+10         marks what may go into a network: see guard
//	chain output      dstnat            the maps, for the host's own connections
//	chain postrouting srcnat            masquerade what leaves by another interface, comes from loopback, or hairpins
//	chain forward     filter            into a bridge: replies and published ports only; within it: all
//
// Publishing a port is one element, and a network a few: no rule is ever added. A host whose own forward chain drops
// (Docker's does) still drops: a packet must pass every table.
type table struct {
	nft
	mark uint32 // of packets that may be forwarded into a network

	rules int // that the table has when it is whole; guarded by nft's mu
}

func newTable(name string, mark uint32) *table { return &table{nft: nft{name: name}, mark: mark} }

func (t *table) ref() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: t.name}
}

var (
	pairKey    = nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIFName)
	hostKey    = nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService)
	hostAtKey  = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	hostAt6Key = nftables.MustConcatSetType(nftables.TypeIP6Addr, nftables.TypeInetProto, nftables.TypeInetService)
	destValue  = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	dest6Value = nftables.MustConcatSetType(nftables.TypeIP6Addr, nftables.TypeInetService)
)

// sets are the table's sets and maps.
type sets struct {
	bridges, internal, masq, within, icc *nftables.Set
	ports, portsAt, ports6, ports6At     *nftables.Set
}

func (t *table) sets() sets {
	set := func(name string, key nftables.SetDatatype, concat bool) *nftables.Set {
		return &nftables.Set{Table: t.ref(), Name: name, KeyType: key, KeyByteOrder: binaryutil.NativeEndian, Concatenation: concat}
	}
	dict := func(name string, key, value nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{Table: t.ref(), Name: name, IsMap: true, Concatenation: true, KeyType: key, DataType: value}
	}
	return sets{
		bridges: set("bridges", nftables.TypeIFName, false), internal: set("internal", nftables.TypeIFName, false),
		masq: set("masq", nftables.TypeIFName, false), within: set("within", pairKey, true), icc: set("icc", pairKey, true),
		ports: dict("ports", hostKey, destValue), portsAt: dict("ports_at", hostAtKey, destValue),
		ports6: dict("ports6", hostKey, dest6Value), ports6At: dict("ports6_at", hostAt6Key, dest6Value),
	}
}

// elements are what sets hold, or are to hold.
type elements map[*nftables.Set][]nftables.SetElement

// ofNetwork adds what the table knows of a network.
func (e elements) ofNetwork(s sets, n *netEntry) {
	one := nftables.SetElement{Key: ifName(n.Device)}
	two := nftables.SetElement{Key: append(ifName(n.Device), ifName(n.Device)...)}
	e[s.bridges] = append(e[s.bridges], one)
	e[s.within] = append(e[s.within], two)
	if n.Internal {
		e[s.internal] = append(e[s.internal], one)
	} else if n.masq {
		e[s.masq] = append(e[s.masq], one)
	}
	if n.icc {
		e[s.icc] = append(e[s.icc], two)
	}
}

// ofPort adds a published port.
func (e elements) ofPort(s sets, p published) {
	el, at := p.element()
	set := s.ports
	switch {
	case p.addr.Is6() && at:
		set = s.ports6At
	case p.addr.Is6():
		set = s.ports6
	case at:
		set = s.portsAt
	}
	e[set] = append(e[set], el)
}

// each calls op for every set that has elements.
func (e elements) each(op func(*nftables.Set, []nftables.SetElement) error) error {
	for set, list := range e {
		if err := op(set, list); err != nil {
			return err
		}
	}
	return nil
}

// ifName is an interface's name as the kernel compares it.
func ifName(name string) []byte {
	var padded [unix.IFNAMSIZ]byte
	copy(padded[:], name)
	return padded[:]
}

// published is a binding and where it leads.
type published struct {
	binding
	addr netip.Addr
}

// element returns the map element for p, and whether its key names one of the host's addresses. Each part of a
// concatenation is padded to four bytes.
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
	s := t.sets()
	content := elements{}
	for _, n := range nets {
		if n.Driver == driverBridge && n.index != 0 {
			content.ofNetwork(s, n)
		}
	}
	for _, p := range list {
		content.ofPort(s, p)
	}
	return t.transact(func(c *nftables.Conn) error {
		c.AddTable(t.ref())
		c.DelTable(t.ref()) // whatever was there; the line before makes it never fail
		c.AddTable(t.ref())
		for _, set := range []*nftables.Set{s.bridges, s.internal, s.masq, s.within, s.icc, s.ports, s.portsAt, s.ports6, s.ports6At} {
			if err := addSet(c, set, content[set]); err != nil {
				return err
			}
		}
		t.rules = t.addChains(c, s)
		return nil
	})
}

// setBatch is how many elements go into one message: a netlink attribute holds 64 KB.
const setBatch = 500

func addSet(c *nftables.Conn, set *nftables.Set, list []nftables.SetElement) error {
	first := list[:min(len(list), setBatch)]
	if err := c.AddSet(set, first); err != nil {
		return err
	}
	for rest := list[len(first):]; len(rest) > 0; rest = rest[min(len(rest), setBatch):] {
		if err := c.SetAddElements(set, rest[:min(len(rest), setBatch)]); err != nil {
			return err
		}
	}
	return nil
}

// whole reports whether the table has all of its rules.
func (t *table) whole() (bool, error) {
	have, err := countRules(t.ref())
	t.mu.Lock()
	defer t.mu.Unlock()
	return have == t.rules, err
}

// addNetwork makes a network known. Idempotent.
func (t *table) addNetwork(n *netEntry) error {
	e := elements{}
	e.ofNetwork(t.sets(), n)
	return t.transact(func(c *nftables.Conn) error { return e.each(c.SetAddElements) })
}

// removeNetwork forgets a network. Idempotent.
func (t *table) removeNetwork(n *netEntry) error {
	e := elements{}
	e.ofNetwork(t.sets(), n)
	err := t.transact(func(c *nftables.Conn) error {
		// Adding first makes the removal of what is not there no error.
		return errors.Join(e.each(c.SetAddElements), e.each(c.SetDeleteElements))
	})
	if errors.Is(err, unix.ENOENT) { // the whole table is gone
		return nil
	}
	return err
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
	s := t.sets()
	e := elements{}
	for _, p := range list {
		e.ofPort(s, p)
	}
	return t.transact(func(c *nftables.Conn) error {
		return e.each(func(set *nftables.Set, els []nftables.SetElement) error { return op(c, set, els) })
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
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyUnspecified)
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
