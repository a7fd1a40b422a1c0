//go:build !linux

package watch

import (
	"errors"
	"os"
)

// newSource: macOS (FSEvents) and Windows (ReadDirectoryChangesW) are to come.
func newSource(Options) (source, error) { return nil, errors.ErrUnsupported }

func openBelow(*os.File, string) (*os.File, error) { return nil, errors.ErrUnsupported }
