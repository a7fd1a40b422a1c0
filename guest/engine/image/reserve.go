package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/leases"
	"golang.org/x/sys/unix"
)

// reserveSize is how many bytes are set aside: removing something writes to the databases first, and on a full disk
// that fails just when it is needed.
const reserveSize = 2 << 20

func (s *Store) reservePath() string { return filepath.Join(s.o.Root, "reserve") }

// keepReserve sets the reserve aside again when there is room.
func (s *Store) keepReserve() {
	if info, err := os.Stat(s.reservePath()); err == nil && info.Size() == reserveSize || freeBytes(s.o.Root) < 2*reserveSize {
		return
	}
	f, err := os.OpenFile(s.reservePath(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.log.Warn("reserve disk space", "error", err)
		return
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, reserveSize); err != nil {
		s.log.Debug("reserve disk space", "error", err) // not every file system can
	}
}

// useReserve frees the reserve when the disk is full. Call it before something is removed.
func (s *Store) useReserve() {
	if freeBytes(s.o.Root) >= reserveSize {
		return
	}
	s.collector.full.Store(true) // what could not be removed so far must be tried again
	if err := os.Remove(s.reservePath()); err != nil && !os.IsNotExist(err) {
		s.log.Warn("free reserved disk space", "error", err)
	}
}

// markAll makes the next collection compare the whole of content and snapshots with the database, not only what it
// removes itself: an earlier one may have been cut short between the two. It leaves garbage of both kinds, which is
// what containerd takes as the sign.
func (s *Store) markAll(ctx context.Context) error {
	// Without a lease what a killed engine leaves of this would stay for a day.
	l, err := s.leases.Create(ctx, leases.WithRandomID(), leases.WithExpiration(leaseTime), leases.WithLabel(operationLabel, "sweep"))
	if err != nil {
		return fmt.Errorf("mark content: %w", err)
	}
	defer func() {
		if err := s.leases.Delete(ctx, l); err != nil {
			s.log.Warn("drop lease", "error", err)
		}
	}()
	ctx = leases.WithLease(ctx, l.ID)
	if _, err := s.writeBlob(ctx, "", []byte("sweep"), nil); err != nil {
		return fmt.Errorf("mark content: %w", err)
	}
	if _, err := s.snaps.Prepare(ctx, "sweep", ""); err != nil {
		return fmt.Errorf("mark snapshots: %w", err)
	}
	return nil
}

// freeBytes is the free space of the file system that holds dir; 0 when it cannot be told.
func freeBytes(dir string) uint64 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0
	}
	return st.Bavail * uint64(st.Bsize)
}
