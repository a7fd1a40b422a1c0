// Package direct looks after the engine that runs containers directly on this Linux: it starts naru-keeper when
// nobody answers on the installation's socket, finds it again, and stops it. The keeper starts naru-engine by itself.
package direct

import (
	"context"
	"errors"

	"naru/platform/paths"
)

// ErrUnsupported says that containers run in the VM on this system.
var ErrUnsupported = errors.New("containers run directly only on Linux")

// ErrNotRoot says that the direct engine cannot be started by this user.
var ErrNotRoot = errors.New("the direct engine needs root")

// Status is what is known of a direct engine from outside. The zero Status is one that does not run.
type Status struct {
	Running bool   `json:"running"`
	Pid     int    `json:"pid,omitempty"` // of naru-keeper
	Socket  string `json:"socket"`
	Root    string `json:"root"`
	Log     string `json:"log"`
}

// Ensure starts the engine of home unless it runs, and returns when its socket takes connections. It is safe to call
// from many processes at once: one keeper wins, all wait for it. With ErrNotRoot in its chain: only root can start it.
func Ensure(ctx context.Context, home paths.Home) error { return ensure(ctx, home) }

// Stop ends the engine of home, its containers and everything it made on the host, and returns when the keeper is
// gone. An engine that does not run is no error: stopped is false then.
func Stop(ctx context.Context, home paths.Home) (stopped bool, err error) { return stop(ctx, home) }

// GetStatus tells whether the engine of home runs. It starts nothing.
func GetStatus(ctx context.Context, home paths.Home) (Status, error) { return status(ctx, home) }

func emptyStatus(home paths.Home) Status {
	return Status{Socket: home.DirectSocket(), Root: home.Engine(), Log: home.KeeperLog()}
}
