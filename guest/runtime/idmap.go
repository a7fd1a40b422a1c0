package runtime

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// IDRange maps Size ids, from Container on inside, to those from Host on outside.
type IDRange struct{ Container, Host, Size uint32 }

// IDMap is what a user namespace maps.
type IDMap struct{ UIDs, GIDs []IDRange }

// Check refuses a map without root, and ranges that overlap or wrap.
func (m *IDMap) Check() error {
	for kind, ranges := range map[string][]IDRange{"uid": m.UIDs, "gid": m.GIDs} {
		if !slices.ContainsFunc(ranges, func(r IDRange) bool { return r.Container == 0 }) {
			return fmt.Errorf("%s map: id 0 is not in it", kind)
		}
		for i, r := range ranges {
			if r.Size == 0 || uint64(r.Container)+uint64(r.Size) > math.MaxUint32 || uint64(r.Host)+uint64(r.Size) > math.MaxUint32 {
				return fmt.Errorf("%s map: range %d:%d:%d is empty or beyond the last id", kind, r.Container, r.Host, r.Size)
			}
			if r.Host == 0 {
				return errors.New("root of the container must not be root of the host")
			}
			for _, o := range ranges[:i] {
				if overlap(r.Container, r.Size, o.Container, o.Size) || overlap(r.Host, r.Size, o.Host, o.Size) {
					return fmt.Errorf("%s map: ranges overlap", kind)
				}
			}
		}
	}
	return nil
}

func overlap(a, n, b, k uint32) bool {
	return uint64(a) < uint64(b)+uint64(k) && uint64(b) < uint64(a)+uint64(n)
}

// String is a name for the map that is right for a file.
func (m *IDMap) String() string {
	var b strings.Builder
	for i, ranges := range [][]IDRange{m.UIDs, m.GIDs} {
		b.WriteString("ug"[i : i+1])
		for _, r := range ranges {
			fmt.Fprintf(&b, "-%d.%d.%d", r.Container, r.Host, r.Size)
		}
	}
	return b.String()
}

// Root is the host's ids of the container's root.
func (m *IDMap) Root() (uid, gid uint32) { return hostID(m.UIDs, 0), hostID(m.GIDs, 0) }

func hostID(ranges []IDRange, id uint32) uint32 {
	for _, r := range ranges {
		if id >= r.Container && id-r.Container < r.Size {
			return r.Host + (id - r.Container)
		}
	}
	return math.MaxUint32 // nobody's
}
