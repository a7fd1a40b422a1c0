package network

import (
	"encoding/binary"
	"errors"
	"log/slog"
	stdnet "net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// sentry drops what a container sends in another's name: a second nftables table, of the family bridge, with
//
//	set guarded { interface }            the host's sides of the pairs that are watched
//	set macs    { interface . MAC }      what each may send from
//	set ips     { interface . address }
//	set ips6    { interface . address }
//	chain prerouting -300                frames, ARP and neighbour advertisements with other senders are dropped
//
// It watches every container on a bridge but those that hold CAP_NET_ADMIN, who may give themselves addresses: VPNs,
// routers, Docker in Docker.
type sentry struct {
	nft
	log   *slog.Logger
	posts map[string]post // by link; guarded by nft's mu
	rules int             // that the table has when it is whole
	off   bool            // the kernel has no such tables
}

// post is what may come from a link.
type post struct {
	mac   stdnet.HardwareAddr
	addrs []netip.Addr
}

func newSentry(name string, log *slog.Logger) *sentry {
	return &sentry{nft: nft{name: name}, log: log, posts: map[string]post{}}
}

// postOf is what an endpoint may send.
func postOf(n *netEntry, ep *endpoint) post {
	p := post{mac: stdnet.HardwareAddr(ep.MAC)}
	for _, a := range ep.prefixes(n) {
		p.addrs = append(p.addrs, a.Addr())
	}
	return p
}

func (s *sentry) ref() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyBridge, Name: s.name}
}

type sentrySets struct{ guarded, macs, ips, ips6 *nftables.Set }

func (s *sentry) sets() sentrySets {
	pair := func(name string, second nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{Table: s.ref(), Name: name, Concatenation: true, KeyType: nftables.MustConcatSetType(nftables.TypeIFName, second)}
	}
	return sentrySets{
		guarded: &nftables.Set{Table: s.ref(), Name: "guarded", KeyType: nftables.TypeIFName},
		macs:    pair("macs", nftables.TypeEtherAddr), ips: pair("ips", nftables.TypeIPAddr), ips6: pair("ips6", nftables.TypeIP6Addr),
	}
}

// add adds the elements of a post. The unspecified addresses ask for an address, and whether one is taken; the
// link-local one is what the kernel makes of the MAC.
func (x sentrySets) add(e elements, link string, p post) {
	name := ifName(link)
	put := func(set *nftables.Set, parts ...byte) {
		e[set] = append(e[set], nftables.SetElement{Key: append(append([]byte{}, name...), parts...)})
	}
	put(x.guarded)
	if len(p.mac) == 6 {
		put(x.macs, append(append([]byte{}, p.mac...), 0, 0)...) // padded to eight bytes
		local := linkLocal(p.mac)
		put(x.ips6, local[:]...)
	}
	put(x.ips, 0, 0, 0, 0)
	put(x.ips6, make([]byte, 16)...)
	for _, a := range p.addrs {
		if a.Is4() {
			put(x.ips, a.AsSlice()...)
		} else {
			put(x.ips6, a.AsSlice()...)
		}
	}
}

// linkLocal is the address that an interface gives itself, RFC 4291, appendix A.
func linkLocal(mac stdnet.HardwareAddr) [16]byte {
	return [16]byte{0xfe, 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]}
}

// admit begins to watch a link, or lets it send as p says from now on.
func (s *sentry) admit(link string, p post) error {
	s.mu.Lock()
	old, again := s.posts[link]
	s.posts[link] = p
	off := s.off || s.rules == 0 // the table is not there yet: sync writes it
	s.mu.Unlock()
	if off {
		return nil
	}
	x := s.sets()
	err := s.transact(func(c *nftables.Conn) error {
		if again {
			e := elements{}
			x.add(e, link, old)
			if err := e.each(c.SetDeleteElements); err != nil {
				return err
			}
		}
		e := elements{}
		x.add(e, link, p)
		return e.each(c.SetAddElements)
	})
	if errors.Is(err, unix.ENOENT) { // flushed: the watch has it written anew
		return s.sync()
	}
	return err
}

// dismiss ends the watch of a link. Idempotent.
func (s *sentry) dismiss(link string) error {
	s.mu.Lock()
	p, there := s.posts[link]
	delete(s.posts, link)
	off := s.off || s.rules == 0
	s.mu.Unlock()
	if !there || off {
		return nil
	}
	err := s.transact(func(c *nftables.Conn) error {
		e := elements{}
		s.sets().add(e, link, p)
		return e.each(c.SetDeleteElements)
	})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// sync writes the table anew, with what is watched. A kernel without such tables is told of once.
func (s *sentry) sync() error {
	s.mu.Lock()
	off, content, x := s.off, elements{}, s.sets()
	for link, p := range s.posts {
		x.add(content, link, p)
	}
	s.mu.Unlock()
	if off {
		return nil
	}
	rules := 0
	err := s.transact(func(c *nftables.Conn) error {
		c.AddTable(s.ref())
		c.DelTable(s.ref())
		c.AddTable(s.ref())
		for _, set := range []*nftables.Set{x.guarded, x.macs, x.ips, x.ips6} {
			if err := addSet(c, set, content[set]); err != nil {
				return err
			}
		}
		rules = s.addChain(c, x)
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	// A kernel without its part "nft_meta_bridge" says ENOENT.
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) {
		s.off = true
		s.log.Warn("network: the kernel cannot filter bridged frames (nftables family bridge, nft_meta_bridge): containers of one network can pose as each other")
		return nil
	}
	if err == nil {
		s.rules = rules
	}
	return err
}

// addChain queues the chain and its rules, and returns how many these are.
func (s *sentry) addChain(c *nftables.Conn, x sentrySets) (count int) {
	priority := nftables.ChainPriority(-300)
	chain := c.AddChain(&nftables.Chain{
		Table: s.ref(), Name: "prerouting", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: &priority,
	})
	rule := func(parts ...[]expr.Any) {
		var exprs []expr.Any
		for _, p := range parts {
			exprs = append(exprs, p...)
		}
		c.AddRule(&nftables.Rule{Table: s.ref(), Chain: chain, Exprs: exprs})
		count++
	}
	drop := verdict(expr.VerdictDrop)
	link := expr.PayloadBaseLLHeader
	net, transport := expr.PayloadBaseNetworkHeader, expr.PayloadBaseTransportHeader

	rule(metaName(), absent(x.guarded), verdict(expr.VerdictAccept))
	rule(sender(x.macs, link, 6, 6), drop)
	rule(etherType(unix.ETH_P_IP), sender(x.ips, net, saddrOffset, 4), drop)
	rule(etherType(unix.ETH_P_ARP), sender(x.macs, net, 8, 6), drop)
	rule(etherType(unix.ETH_P_ARP), sender(x.ips, net, 14, 4), drop)
	rule(etherType(unix.ETH_P_IPV6), sender(x.ips6, net, 8, 16), drop)
	// Neighbour advertisements name an address of their own; router advertisements and redirects are nobody's business.
	rule(etherType(unix.ETH_P_IPV6), icmp6(136), sender(x.ips6, transport, 8, 16), drop)
	rule(etherType(unix.ETH_P_IPV6), icmp6(134), drop)
	rule(etherType(unix.ETH_P_IPV6), icmp6(137), drop)
	return count
}

func metaName() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}}
}

func absent(set *nftables.Set) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: reg1, SetName: set.Name, SetID: set.ID, Invert: true}}
}

// sender matches frames whose interface and these bytes are no pair of the set.
func sender(set *nftables.Set, base expr.PayloadBase, offset, length uint32) []expr.Any {
	return append(append(metaName(),
		&expr.Payload{DestRegister: word(unix.IFNAMSIZ / 4), Base: base, Offset: offset, Len: length}), absent(set)...)
}

func etherType(t uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: binary.BigEndian.AppendUint16(nil, t)},
	}
}

func icmp6(kind byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{unix.IPPROTO_ICMPV6}},
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{kind}},
	}
}

// whole reports whether the table has all of its rules.
func (s *sentry) whole() (bool, error) {
	s.mu.Lock()
	want, off := s.rules, s.off
	s.mu.Unlock()
	if off {
		return true, nil
	}
	have, err := countRules(s.ref())
	return have == want, err
}

// remove deletes the table. Idempotent.
func (s *sentry) remove() error {
	defer s.close()
	err := s.transact(func(c *nftables.Conn) error {
		c.AddTable(s.ref())
		c.DelTable(s.ref())
		return nil
	})
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}
