package build

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/moby/buildkit/cache/metadata"
)

// What BuildKit marks the leases of its records by, and calls those of their blobs in other compressions.
const (
	recordLabel    = "containerd.io/gc.flat"
	variantsSuffix = "-variants"
)

// dropOrphans drops the leases of records that are not there. BuildKit makes a lease before the record that it is for, and
// forgets it when its process is killed in between: layers would stay that nobody can prune. It tells how many there were.
// No build may be under way.
func dropOrphans(ctx context.Context, manager leases.Manager, records *metadata.Store) (int, error) {
	items, err := records.All()
	if err != nil {
		return 0, fmt.Errorf("list records of the build cache: %w", err)
	}
	known := map[string]bool{}
	for _, item := range items {
		known[item.ID()] = true
	}
	list, err := manager.List(ctx)
	if err != nil {
		return 0, fmt.Errorf("list leases: %w", err)
	}
	dropped := 0
	for _, l := range list {
		record, variants := strings.CutSuffix(l.ID, variantsSuffix)
		if _, ours := l.Labels[recordLabel]; !ours && !variants || known[record] {
			continue
		}
		if err := manager.Delete(ctx, l); err != nil {
			return dropped, fmt.Errorf("drop lease: %w", err)
		}
		dropped++
	}
	return dropped, nil
}
