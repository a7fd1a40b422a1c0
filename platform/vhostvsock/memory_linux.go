package vhostvsock

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxRegions is VHOST_MEMORY_BASELINE_NREGIONS.
const maxRegions = 8

// region is a part of the guest's memory, mapped here.
type region struct {
	guest uint64 // guest physical address
	front uint64 // address in QEMU, the space that ring addresses are given in
	data  []byte // the mapping, as long as the region
	whole []byte // what was mapped: from the file's start, since an offset need not be page-aligned
}

// memory is the whole of the guest's memory. It is never changed after it was made, only replaced.
type memory struct {
	regions []region
}

// regionDesc is one entry of SET_MEM_TABLE.
type regionDesc struct {
	guest, size, front, offset uint64
}

// mapMemory maps each region from the descriptor beside it. It does not close the descriptors.
func mapMemory(descs []regionDesc, fds []int) (*memory, error) {
	m := &memory{}
	for i, d := range descs {
		r, err := mapRegion(d, fds[i])
		if err != nil {
			m.unmap()
			return nil, fmt.Errorf("map memory region %d: %w", i, err)
		}
		m.regions = append(m.regions, r)
	}
	return m, nil
}

func mapRegion(d regionDesc, fd int) (region, error) {
	end := d.offset + d.size
	if d.size == 0 || end < d.offset || d.guest+d.size < d.guest || d.front+d.size < d.front || end > 1<<46 {
		return region{}, errors.New("bad size or offset")
	}
	// A mapping longer than its file would end this process with SIGBUS when touched.
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return region{}, fmt.Errorf("fstat: %w", err)
	}
	if st.Size < 0 || uint64(st.Size) < end {
		return region{}, fmt.Errorf("file of %d bytes is shorter than the region's end %d", st.Size, end)
	}
	whole, err := unix.Mmap(fd, 0, int(end), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return region{}, fmt.Errorf("mmap: %w", err)
	}
	return region{guest: d.guest, front: d.front, data: whole[d.offset:end:end], whole: whole}, nil
}

// unmap must be called only when no ring uses the memory any more.
func (m *memory) unmap() {
	for _, r := range m.regions {
		_ = unix.Munmap(r.whole)
	}
	m.regions = nil
}

// guestSlice is the memory of n bytes at a guest physical address, nil unless it lies wholly inside one region.
func (m *memory) guestSlice(addr uint64, n uint32) []byte {
	for i := range m.regions {
		r := &m.regions[i]
		if off := addr - r.guest; addr >= r.guest && off < uint64(len(r.data)) {
			return cut(r.data, off, uint64(n))
		}
	}
	return nil
}

// frontSlice is the same for an address of QEMU's.
func (m *memory) frontSlice(addr uint64, n int) []byte {
	for i := range m.regions {
		r := &m.regions[i]
		if off := addr - r.front; addr >= r.front && off < uint64(len(r.data)) {
			return cut(r.data, off, uint64(n))
		}
	}
	return nil
}

func cut(b []byte, off, n uint64) []byte {
	if n > uint64(len(b))-off {
		return nil
	}
	return b[off : off+n : off+n]
}
