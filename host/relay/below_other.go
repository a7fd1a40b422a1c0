//go:build !linux

package relay

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// dialBelow connects to a socket below a folder, when no part of its path is a link. There is no connecting to a descriptor
// here: who may rename in the share can still put another socket of the user's in its place.
func dialBelow(ctx context.Context, dir, rel string) (net.Conn, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(real, rel)
	if at, err := filepath.EvalSymlinks(path); err != nil || at != path {
		return nil, fmt.Errorf("%s in %s is not there, or behind a link", rel, dir)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s in %s is no socket", rel, dir)
	}
	return dial(ctx, path)
}
