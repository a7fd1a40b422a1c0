package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The kernel lets a bridge have 1,023 ports. A network with more containers gets more bridges, each joined to the first
// by a pair of its own:
//
//	br-ID ══ t1-ID ─ u1-ID ══ s1-ID ══ containers
//	      ══ t2-ID ─ u2-ID ══ s2-ID ══ containers
//
// They are one link: names, broadcasts and neighbours work across. The gateway's address and all rules stay with the
// first; where containers must not talk, the first's ends of the pairs are isolated from each other as any container.

// maxShards is how many names there are: one digit.
const maxShards = 35

// portsPerBridge is how many containers go onto one bridge. The rest is for the pairs, and for ports that are on their
// way out: the kernel takes its time with those.
var portsPerBridge = 960

func shardName(kind string, n *netEntry, i int) string {
	return kind + strconv.FormatInt(int64(i), 36) + "-" + n.ID[:12]
}

// shards are the bridges of a network, the first of which is the network's own.
type shards struct {
	index []int          // interface indexes
	ports map[string]int // the shard of each of our links
	full  map[int]bool   // the kernel said so
}

// findShards fills in what is there already. The first bridge has been found.
func (n *netEntry) findShards() error {
	n.shards = shards{index: []int{n.index}, ports: map[string]int{}, full: map[int]bool{}}
	for i := 1; i <= maxShards; i++ {
		link, err := findBridge(shardName("s", n, i))
		if err != nil || link == nil {
			return err
		}
		n.shards.index = append(n.shards.index, link.Attrs().Index)
	}
	return nil
}

// of returns which of the network's bridges an interface index means, -1 for none.
func (s *shards) of(index int) int {
	for i, have := range s.index {
		if have == index {
			return i
		}
	}
	return -1
}

// place chooses a bridge for one more link and books it; -1 says that a new one is needed.
func (s *shards) place(link string) int {
	taken := make([]int, len(s.index))
	for _, i := range s.ports {
		taken[i]++
	}
	for i, count := range taken {
		if count < portsPerBridge && !s.full[i] {
			s.ports[link] = i
			return i
		}
	}
	return -1
}

// leave gives a link's place back; a bridge that was full may have room again.
func (s *shards) leave(link string) {
	if i, there := s.ports[link]; there {
		delete(s.ports, link)
		delete(s.full, i)
	}
}

// master puts the host's side of a pair on one of the network's bridges.
func (m *Manager) master(n *netEntry, link netlink.Link) error {
	name := link.Attrs().Name
	for {
		m.mu.Lock()
		i := n.shards.place(name)
		index := n.index
		if i >= 0 {
			index = n.shards.index[i]
		}
		total := len(n.shards.ports)
		m.mu.Unlock()
		if i < 0 {
			if err := onHost(func() error { return m.addShard(n) }); err != nil {
				return err
			}
			continue
		}
		if total == manyNeighbours {
			_ = onHost(func() error { m.raiseNeighbours(); return nil })
		}
		err := m.host.handle.LinkSetMasterByIndex(link, index)
		if !errors.Is(err, unix.EXFULL) {
			if err != nil {
				return fmt.Errorf("join bridge %s: %w", n.Device, err)
			}
			return nil
		}
		m.mu.Lock()
		n.shards.leave(name)
		n.shards.full[i] = true
		m.mu.Unlock()
	}
}

// onHost runs fn in the host's namespace: the calling thread may be in a container's, and a new goroutine is not.
func onHost(fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	return <-done
}

// addShard makes one more bridge and joins it to the first, unless another call has made one meanwhile.
func (m *Manager) addShard(n *netEntry) error {
	n.growing.Lock()
	defer n.growing.Unlock()
	m.mu.Lock()
	const probe = "?"
	room := n.shards.place(probe) >= 0
	n.shards.leave(probe)
	i, first := len(n.shards.index), n.index
	m.mu.Unlock()
	if room {
		return nil
	}
	if i > maxShards {
		return fmt.Errorf("network %s is full: it has %d bridges of %d containers; use one more network", n.Name, i, portsPerBridge)
	}
	index, err := makeShard(n, i, first)
	if err != nil {
		return fmt.Errorf("extend network %s: %w", n.Name, err)
	}
	m.mu.Lock()
	n.shards.index = append(n.shards.index, index)
	m.mu.Unlock()
	m.opts.Log.Info("network: one more bridge", "network", n.Name, "bridges", i+1)
	return nil
}

// makeShard makes the i-th bridge beside the first, and returns its index. What an earlier try has left is replaced.
func makeShard(n *netEntry, i, first int) (index int, err error) {
	if err := removeShard(n, i); err != nil {
		return 0, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = shardName("s", n, i), n.MTU
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return 0, fmt.Errorf("make bridge %s: %w", attrs.Name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeShard(n, i))
		}
	}()
	if err := setSysctls([]sysctl{{"net/ipv6/conf/" + attrs.Name + "/disable_ipv6", "1"}}); err != nil {
		return 0, err
	}
	bridge, err := netlink.LinkByName(attrs.Name)
	if err != nil {
		return 0, err
	}
	pair := netlink.NewLinkAttrs()
	pair.Name, pair.MTU = shardName("t", n, i), n.MTU
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: pair, PeerName: shardName("u", n, i), PeerMTU: uint32(n.MTU)}); err != nil {
		return 0, fmt.Errorf("make veth pair: %w", err)
	}
	near, err := netlink.LinkByName(shardName("t", n, i))
	if err != nil {
		return 0, err
	}
	far, err := netlink.LinkByName(shardName("u", n, i))
	if err != nil {
		return 0, err
	}
	err = errors.Join(netlink.LinkSetMasterByIndex(near, first), netlink.LinkSetMaster(far, bridge))
	if !n.icc {
		err = errors.Join(err, netlink.LinkSetIsolated(near, true))
	}
	for _, l := range []netlink.Link{near, far, bridge} {
		err = errors.Join(err, netlink.LinkSetUp(l))
	}
	if err != nil {
		return 0, fmt.Errorf("join bridge %s to %s: %w", attrs.Name, n.Device, err)
	}
	return bridge.Attrs().Index, nil
}

// removeShard deletes the i-th bridge, with the pair that joins it to the first. Idempotent.
func removeShard(n *netEntry, i int) error {
	var missing netlink.LinkNotFoundError
	if near, err := netlink.LinkByName(shardName("t", n, i)); err == nil {
		if err := netlink.LinkDel(near); err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("delete %s: %w", near.Attrs().Name, err)
		}
	} else if !errors.As(err, &missing) {
		return err
	}
	return removeBridge(shardName("s", n, i))
}

// removeShards deletes all but the first.
func removeShards(n *netEntry) error {
	for i := 1; i <= maxShards; i++ {
		if link, err := findBridge(shardName("s", n, i)); err != nil || link == nil {
			return err
		}
		if err := removeShard(n, i); err != nil {
			return err
		}
	}
	return nil
}

// manyNeighbours is how many containers a network may have before the kernel's table of neighbours is made larger: it
// is one for all namespaces, and holds 1,024 by default.
const manyNeighbours = 300

// raiseNeighbours makes room for the neighbours of some thousand containers. It is not taken back: others may rely on it.
func (m *Manager) raiseNeighbours() {
	for _, family := range []string{"ipv4", "ipv6"} {
		for name, want := range map[string]int{"gc_thresh1": 8192, "gc_thresh2": 32768, "gc_thresh3": 65536} {
			path := "net/" + family + "/neigh/default/" + name
			now, err := os.ReadFile(filepath.Join("/proc/sys", path))
			if err != nil {
				continue
			}
			if have, err := strconv.Atoi(strings.TrimSpace(string(now))); err != nil || have >= want {
				continue
			}
			if err := setSysctls([]sysctl{{path, strconv.Itoa(want)}}); err != nil {
				m.opts.Log.Warn("network: the kernel's table of neighbours may be too small for so many containers", "sysctl", path, "error", err)
				return
			}
			m.opts.Log.Info("network: room for more neighbours on this host", "sysctl", path, "value", want)
		}
	}
}
