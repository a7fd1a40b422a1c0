//go:build !linux && !darwin

package transfer

import "os"

// nextData knows of no holes here: what reads as zero is left out all the same.
func nextData(_ *os.File, at int64) (int64, error) { return at, nil }
