package daemon

import "os"

// diskUse is a file's size, in bytes; planned and 0 when there is none yet. What a sparse file takes is not asked.
func diskUse(path string, planned uint64) (size, used uint64) {
	info, err := os.Stat(path)
	if err != nil {
		return planned, 0
	}
	return uint64(info.Size()), 0
}
