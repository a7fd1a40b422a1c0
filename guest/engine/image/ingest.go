package image

import (
	"os"
	"path/filepath"
	"time"
)

// sweepIngests removes the folders of unfinished downloads that hold no name of theirs: on a full disk, or in an engine that
// was killed, containerd made the folder and could not write the file. It lists only those with a name, so nobody else removes
// them. Those younger than age may be in the making.
func (s *Store) sweepIngests(age time.Duration) {
	found, err := filepath.Glob(filepath.Join(s.o.Root, "content", "ingest", "*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		if ref, err := os.Stat(filepath.Join(dir, "ref")); err == nil && ref.Size() > 0 || err != nil && !os.IsNotExist(err) {
			continue
		}
		if info, err := os.Stat(dir); err != nil || time.Since(info.ModTime()) < age {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			s.log.Warn("remove unfinished download", "error", err)
		}
	}
}
