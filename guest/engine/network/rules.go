package network

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// addChains queues all chains and rules of the table.
func (t *table) addChains(c *nftables.Conn, ports, portsAt *nftables.Set, nets []*netEntry) {
	chain := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority) func(...[]expr.Any) {
		ch := c.AddChain(&nftables.Chain{Table: t.ref(), Name: name, Type: kind, Hooknum: hook, Priority: prio})
		return func(parts ...[]expr.Any) {
			var exprs []expr.Any
			for _, p := range parts {
				exprs = append(exprs, p...)
			}
			c.AddRule(&nftables.Rule{Table: t.ref(), Chain: ch, Exprs: exprs})
		}
	}
	raw := chain("raw", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	pre := chain("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	out := chain("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	post := chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	fwd := chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)

	// A neighbour on the LAN can send packets for 127.0.0.1: without this they would reach ports published there.
	pre(address(daddrOffset, loopback, true), verdict(expr.VerdictReturn))
	for _, rule := range []func(...[]expr.Any){pre, out} {
		rule(dnatAt(portsAt))
		rule(toLocal(), dnat(ports))
	}
	for _, n := range nets {
		if n.Driver != driverBridge {
			continue
		}
		raw(iface(expr.MetaKeyIIFNAME, n.Device, true), address(daddrOffset, loopback, true), verdict(expr.VerdictDrop))
		raw(iface(expr.MetaKeyIIFNAME, n.Device, true), address(saddrOffset, loopback, true), verdict(expr.VerdictDrop))

		// Hairpin: the reply must come back through us to have its address restored.
		post(iface(expr.MetaKeyOIFNAME, n.Device, true), ctStatusDNAT(), address(saddrOffset, n.Subnet, true), masquerade())
		post(iface(expr.MetaKeyOIFNAME, n.Device, true), address(saddrOffset, loopback, true), masquerade())
		post(iface(expr.MetaKeyOIFNAME, n.Device, false), address(saddrOffset, n.Subnet, true), masquerade())

		fwd(iface(expr.MetaKeyIIFNAME, n.Device, true), iface(expr.MetaKeyOIFNAME, n.Device, true), verdict(expr.VerdictAccept))
		fwd(iface(expr.MetaKeyOIFNAME, n.Device, true), ctStateKnown(), verdict(expr.VerdictAccept))
		fwd(iface(expr.MetaKeyOIFNAME, n.Device, true), ctStatusDNAT(), verdict(expr.VerdictAccept))
		fwd(iface(expr.MetaKeyOIFNAME, n.Device, true), verdict(expr.VerdictDrop))
	}
}

// Registers: a match uses reg1; a concatenation fills 4-byte registers from the start of reg1 on.
const (
	reg1   = unix.NFT_REG_1
	reg32b = unix.NFT_REG32_00 + 1
	reg32c = unix.NFT_REG32_00 + 2
)

// Offsets in the IPv4 header, bytes.
const saddrOffset, daddrOffset = 12, 16

// ipsDNAT is the bit of conntrack's status that says that the destination was rewritten.
const ipsDNAT = 1 << 5

var loopback = netip.MustParsePrefix("127.0.0.0/8")

func iface(key expr.MetaKey, name string, equal bool) []expr.Any {
	var padded [unix.IFNAMSIZ]byte
	copy(padded[:], name)
	return []expr.Any{
		&expr.Meta{Key: key, Register: reg1},
		&expr.Cmp{Op: cmpOp(equal), Register: reg1, Data: padded[:]},
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

// dnat sends the packet where the map says for its protocol and port; a port that is not there ends the rule.
func dnat(m *nftables.Set) []expr.Any {
	return append([]expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
		&expr.Payload{DestRegister: reg32b, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}, lookupAndNAT(m)...)
}

// dnatAt is dnat for the map whose key starts with the host's address.
func dnatAt(m *nftables.Set) []expr.Any {
	return append([]expr.Any{
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: daddrOffset, Len: 4},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg32b},
		&expr.Payload{DestRegister: reg32c, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}, lookupAndNAT(m)...)
}

func lookupAndNAT(m *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: m.Name, SetID: m.ID},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg1, RegProtoMin: reg32b},
	}
}

func masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }
