package keeper

import (
	"context"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The data disk is a sparse file of the host. What is deleted in it goes back to the host by FITRIM: the discard option
// of ext4 would make each delete wait for the host instead.
const (
	// trimLook is how often the disk's free space is looked at.
	trimLook = 3 * time.Second
	// trimLeast is how many bytes must have become free before a trim is worth it, trimAlways after how long one
	// happens all the same.
	trimLeast  = 64 << 20
	trimAlways = time.Hour
	// trimRest is how long a disk on which more is still being deleted waits at most.
	trimRest = 30 * time.Second
)

// fitrim is FITRIM of linux/fs.h: _IOWR('X', 121, struct fstrim_range).
const fitrim = 0xc0185879

// trimmer decides when a trim is due from what it is shown.
type trimmer struct {
	low   uint64    // the least free space since the last trim, in bytes
	last  uint64    // free space when it looked last
	dirty time.Time // since when enough is free for a trim; zero when it is not
	done  time.Time // the last trim
}

// due is told the free space at a moment. A prune deletes for a while: a trim waits until that has come to rest.
func (t *trimmer) due(free uint64, now time.Time) bool {
	growing := free > t.last+trimLeast/16
	t.last = free
	t.low = min(t.low, free)
	if free-t.low < trimLeast {
		t.dirty = time.Time{}
		return free != t.low && now.Sub(t.done) >= trimAlways
	}
	if t.dirty.IsZero() {
		t.dirty = now
	}
	return !growing || now.Sub(t.dirty) >= trimRest
}

// trimmed begins anew.
func (t *trimmer) trimmed(free uint64, now time.Time) {
	*t = trimmer{low: free, last: free, done: now}
}

// keepTrimmed gives back to the host what was deleted on the data disk, until ctx ends.
func (k *keeper) keepTrimmed(ctx context.Context) {
	tick := time.NewTicker(trimLook)
	defer tick.Stop()
	free, err := freeSpace(k.o.Root)
	if err != nil {
		k.log.Error("look at the data disk", "error", err)
		return
	}
	var t trimmer
	t.trimmed(free, time.Now())
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if free, err = freeSpace(k.o.Root); err != nil || !t.due(free, time.Now()) {
			continue
		}
		started := time.Now()
		if err := trim(k.o.Root); err != nil {
			k.log.Error("trim the data disk", "error", err)
			return // it cannot
		}
		k.log.Info("trimmed the data disk", "freed", free-t.low, "took", time.Since(started).Round(time.Millisecond))
		t.trimmed(free, time.Now())
	}
}

// freeSpace is how many bytes of a file system are free.
func freeSpace(path string) (uint64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return 0, err
	}
	return fs.Bfree * uint64(fs.Bsize), nil
}

// trim tells the disk below a file system which blocks are free. ext4 remembers which groups it has told already. It
// tells only of blocks whose freeing is in the journal, hence the sync.
func trim(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	r := struct{ start, length, least uint64 }{length: ^uint64(0)} // struct fstrim_range
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), fitrim, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return fmt.Errorf("fitrim: %w", errno)
	}
	return nil
}
