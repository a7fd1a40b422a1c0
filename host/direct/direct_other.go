//go:build !linux

package direct

import (
	"context"

	"naru/platform/paths"
)

func ensure(context.Context, paths.Home) error       { return ErrUnsupported }
func stop(context.Context, paths.Home) (bool, error) { return false, ErrUnsupported }
func status(_ context.Context, home paths.Home) (Status, error) {
	return emptyStatus(home), ErrUnsupported
}
