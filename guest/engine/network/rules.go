package network

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// addChains queues all chains and rules of the table, and returns how many rules these are.
func (t *table) addChains(c *nftables.Conn, s sets) (count int) {
	chain := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority) func(...[]expr.Any) {
		ch := c.AddChain(&nftables.Chain{Table: t.ref(), Name: name, Type: kind, Hooknum: hook, Priority: prio})
		return func(parts ...[]expr.Any) {
			var exprs []expr.Any
			for _, p := range parts {
				exprs = append(exprs, p...)
			}
			c.AddRule(&nftables.Rule{Table: t.ref(), Chain: ch, Exprs: exprs})
			count++
		}
	}
	raw := chain("raw", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	pre := chain("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	alive := chain("alive", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRef(*nftables.ChainPriorityNATDest+10))
	out := chain("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	post := chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	fwd := chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)

	raw(ipv4(), inBy(s.bridges), address(daddrOffset, loopback, true), verdict(expr.VerdictDrop))
	raw(ipv4(), inBy(s.bridges), address(saddrOffset, loopback, true), verdict(expr.VerdictDrop))

	// A neighbour on the LAN can send packets for 127.0.0.1: without this they would reach ports published there.
	pre(ipv4(), address(daddrOffset, loopback, true), verdict(expr.VerdictReturn))
	// What goes to ::1 cannot be led away: it stays with the port's door.
	out(ipv6(), toLoopback6(), verdict(expr.VerdictReturn))
	for _, rule := range []func(...[]expr.Any){pre, out} {
		rule(ipv4(), dnatAt(s.portsAt, false))
		rule(ipv4(), toLocal(), dnat(s.ports, false))
		rule(ipv6(), dnatAt(s.ports6At, true))
		rule(ipv6(), toLocal(), dnat(s.ports6, true))
	}

	for _, may := range [][]expr.Any{ctStateKnown(), ctStatusDNAT()} {
		alive(may, leadsInto(s.bridges), setMark(t.mark))
	}
	alive(inBy(s.bridges), leadsBack(), setMark(t.mark))

	// Hairpin: the reply must come back through us to have its address restored. Matching the interface that a packet
	// came by works here since Linux 5.7.
	post(inOut(s.within), ctStatusDNAT(), masquerade())
	// With br_netfilter a frame that only crosses the bridge has no such interface any more.
	post(fromNowhere(), outBy(s.bridges), ctStatusDNAT(), notOurs(), masquerade())
	post(inOut(s.within), verdict(expr.VerdictReturn))
	post(inBy(s.masq), masquerade())
	post(ipv4(), outBy(s.bridges), address(saddrOffset, loopback, true), masquerade())

	fwd(inOut(s.icc), verdict(expr.VerdictAccept))
	fwd(inBy(s.internal), verdict(expr.VerdictDrop))
	fwd(outBy(s.internal), verdict(expr.VerdictDrop))
	fwd(outBy(s.bridges), ctStateKnown(), verdict(expr.VerdictAccept))
	fwd(outBy(s.bridges), ctStatusDNAT(), verdict(expr.VerdictAccept))
	fwd(outBy(s.bridges), verdict(expr.VerdictDrop))
	return count
}

// Registers: a match uses reg1; a concatenation fills 4-byte registers from the start of reg1 on.
const (
	reg1 = unix.NFT_REG_1
	reg2 = unix.NFT_REG_2
)

// word is the n-th 4-byte register from the start of reg1 on.
func word(n uint32) uint32 { return unix.NFT_REG32_00 + n }

// Offsets in the IPv4 and the IPv6 header, bytes.
const saddrOffset, daddrOffset, daddr6Offset = 12, 16, 24

// ipsDNAT is the bit of conntrack's status that says that the destination was rewritten.
const ipsDNAT = 1 << 5

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// inBy matches packets that came by an interface of the set.
func inBy(set *nftables.Set) []expr.Any { return lookup(set, expr.MetaKeyIIFNAME) }

// outBy matches packets that leave by an interface of the set.
func outBy(set *nftables.Set) []expr.Any { return lookup(set, expr.MetaKeyOIFNAME) }

func lookup(set *nftables.Set, key expr.MetaKey) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: reg1},
		&expr.Lookup{SourceRegister: reg1, SetName: set.Name, SetID: set.ID},
	}
}

// inOut matches packets whose two interfaces are a pair of the set.
func inOut(set *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1},
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg2},
		&expr.Lookup{SourceRegister: reg1, SetName: set.Name, SetID: set.ID},
	}
}

// fromNowhere matches packets that came by no interface that is known here: the host's own, and bridged ones.
func fromNowhere() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIF, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: make([]byte, 4)},
	}
}

// notOurs matches packets whose source is no address of this host.
func notOurs() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg1, FlagSADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
	}
}

func ipv4() []expr.Any { return protocol(unix.NFPROTO_IPV4) }
func ipv6() []expr.Any { return protocol(unix.NFPROTO_IPV6) }

func protocol(p byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{p}},
	}
}

func cmpOp(equal bool) expr.CmpOp {
	if equal {
		return expr.CmpOpEq
	}
	return expr.CmpOpNeq
}

// address matches the source or destination address against a prefix.
func address(offset uint32, p netip.Prefix, equal bool) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: ipNet(p).Mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: cmpOp(equal), Register: reg1, Data: p.Masked().Addr().AsSlice()},
	}
}

// toLoopback6 matches packets for ::1.
func toLoopback6() []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 16},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: netip.IPv6Loopback().AsSlice()},
	}
}

func ctBits(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: reg1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: make([]byte, 4)},
	}
}

func ctStatusDNAT() []expr.Any { return ctBits(expr.CtKeySTATUS, ipsDNAT) }

func ctStateKnown() []expr.Any {
	return ctBits(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

// toLocal matches packets for an address of this host.
func toLocal() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
	}
}

// leadsInto matches packets whose way goes out by an interface of the set.
func leadsInto(set *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg1, FlagDADDR: true, ResultOIFNAME: true},
		&expr.Lookup{SourceRegister: reg1, SetName: set.Name, SetID: set.ID},
	}
}

// leadsBack matches packets whose way goes out by the interface that they came by.
func leadsBack() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg1, FlagDADDR: true, FlagIIF: true, ResultOIF: true},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: make([]byte, 4)},
	}
}

// setMark sets bits of the packet's mark.
func setMark(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1},
		&expr.Bitwise{
			SourceRegister: reg1, DestRegister: reg1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(^bits), Xor: binaryutil.NativeEndian.PutUint32(bits),
		},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1, SourceRegister: true},
	}
}

// dnat sends the packet where the map says for its protocol and port; a port that is not there ends the rule.
func dnat(m *nftables.Set, v6 bool) []expr.Any {
	return append([]expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
		&expr.Payload{DestRegister: word(1), Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}, lookupAndNAT(m, v6)...)
}

// dnatAt is dnat for the map whose key starts with the host's address.
func dnatAt(m *nftables.Set, v6 bool) []expr.Any {
	addr := &expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: daddrOffset, Len: 4}
	words := uint32(1)
	if v6 {
		addr.Offset, addr.Len, words = daddr6Offset, 16, 4
	}
	return append([]expr.Any{
		addr,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: word(words)},
		&expr.Payload{DestRegister: word(words + 1), Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}, lookupAndNAT(m, v6)...)
}

func lookupAndNAT(m *nftables.Set, v6 bool) []expr.Any {
	nat := &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg1, RegProtoMin: word(1)}
	if v6 {
		nat.Family, nat.RegProtoMin = unix.NFPROTO_IPV6, word(4)
	}
	return []expr.Any{&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: m.Name, SetID: m.ID}, nat}
}

func masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }
