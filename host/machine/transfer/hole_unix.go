//go:build linux || darwin

package transfer

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// nextData is the offset at or after at where a sparse file holds data; very large when there is none.
func nextData(f *os.File, at int64) (int64, error) {
	next, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return math.MaxInt64, nil
	case errors.Is(err, unix.EINVAL): // a file system without holes
		return at, nil
	}
	return next, err
}
