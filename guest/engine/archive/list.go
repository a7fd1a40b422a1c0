package archive

import (
	"slices"

	"golang.org/x/sys/unix"
)

// namesAtOnce is how many names of a folder are held and sorted at once. A folder with more comes in several sorted parts.
const namesAtOnce = 1 << 15

// eachName calls f for the names in an open folder, in order. It reads from the folder's present offset on.
func eachName(dir int, f func(name string) error) error {
	buf := make([]byte, 32<<10)
	var names []string
	flush := func() error {
		slices.Sort(names)
		for _, name := range names {
			if err := f(name); err != nil {
				return err
			}
		}
		names = names[:0]
		return nil
	}
	for {
		n, err := retry(func() (int, error) { return unix.ReadDirent(dir, buf) })
		if err != nil {
			return err
		}
		if n <= 0 {
			return flush()
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
		if len(names) >= namesAtOnce {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}
