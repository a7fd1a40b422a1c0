package build

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/disk"
	"github.com/moby/moby/api/types/build"
)

// Usage lists what the build cache holds. A builder that was never used holds nothing, and is not opened for the question.
func (b *Builder) Usage(ctx context.Context) ([]build.CacheRecord, error) {
	if !b.used() {
		return nil, nil
	}
	p, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := p.control.DiskUsage(ctx, &controlapi.DiskUsageRequest{})
	if err != nil {
		return nil, fmt.Errorf("build cache: %w", err)
	}
	var out []build.CacheRecord
	for _, r := range resp.Record {
		c := build.CacheRecord{
			ID: r.ID, Parents: r.Parents, Type: r.RecordType, Description: r.Description, InUse: r.InUse, Shared: r.Shared,
			Size: r.Size, UsageCount: int(r.UsageCount),
		}
		if r.CreatedAt != nil {
			c.CreatedAt = r.CreatedAt.AsTime()
		}
		if r.LastUsedAt != nil {
			last := r.LastUsedAt.AsTime()
			c.LastUsedAt = &last
		}
		out = append(out, c)
	}
	return out, nil
}

// PruneOptions choose what of the cache goes.
type PruneOptions struct {
	All                                       bool
	ReservedSpace, MaxUsedSpace, MinFreeSpace int64 // bytes; 0 for no bound
	Filters                                   map[string][]string
}

// pruneFilters are Docker's names for what a record of the cache can be chosen by.
var pruneFilters = []string{"id", "parent", "type", "description", "inuse", "shared", "private"}

// Prune removes records of the cache that nothing uses, and returns their IDs and the bytes that they took.
func (b *Builder) Prune(ctx context.Context, o PruneOptions) (ids []string, bytes int64, err error) {
	req := &controlapi.PruneRequest{All: o.All, ReservedSpace: o.ReservedSpace, MaxUsedSpace: o.MaxUsedSpace, MinFreeSpace: o.MinFreeSpace}
	if err := o.apply(req); err != nil {
		return nil, 0, err
	}
	if !b.used() {
		return nil, 0, nil
	}
	p, err := b.open(ctx)
	if err != nil {
		return nil, 0, err
	}
	stream := callStream[controlapi.UsageRecord]{ctx, func(r *controlapi.UsageRecord) error {
		ids = append(ids, r.ID)
		bytes += r.Size
		return nil
	}}
	if err := p.control.Prune(req, stream); err != nil {
		return nil, 0, fmt.Errorf("prune build cache: %w", err)
	}
	return ids, bytes, nil
}

// apply puts the filters into BuildKit's form.
func (o *PruneOptions) apply(req *controlapi.PruneRequest) error {
	var parts []string
	known := map[string]bool{"until": true, "unused-for": true, "label": true, "label!": true}
	for _, name := range pruneFilters {
		known[name] = true
		switch values := o.Filters[name]; len(values) {
		case 0:
			if _, given := o.Filters[name]; given {
				parts = append(parts, name)
			}
		case 1:
			operator := "=="
			if name == "id" {
				operator = "~="
			}
			parts = append(parts, name+operator+values[0])
		default:
			return errdefs.ErrInvalidArgument.WithMessage("filters expect only one value")
		}
	}
	for name := range o.Filters {
		if !known[name] {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s'", name))
		}
	}
	if len(parts) > 0 {
		req.Filter = []string{strings.Join(parts, ",")}
	}
	return o.age(req)
}

func (o *PruneOptions) age(req *controlapi.PruneRequest) error {
	values := append(append([]string(nil), o.Filters["until"]...), o.Filters["unused-for"]...)
	switch {
	case len(o.Filters["until"]) > 0 && len(o.Filters["unused-for"]) > 0:
		return errdefs.ErrInvalidArgument.WithMessage(`conflicting filters: "until" and "unused-for"`)
	case len(values) > 1:
		return errdefs.ErrInvalidArgument.WithMessage("filters expect only one value")
	case len(values) == 0:
		return nil
	}
	d, err := time.ParseDuration(values[0])
	if err != nil {
		at, timeErr := time.Parse(time.RFC3339, values[0])
		if timeErr != nil {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(`"until" filter expects a duration (e.g., '24h') or a timestamp: %s`, values[0]))
		}
		d = time.Since(at)
	}
	req.KeepDuration = int64(d)
	return nil
}

// The parts of the disk that the cache may take, in percent; Docker's defaults.
const (
	reservedPercent = 10
	usedPercent     = 80
	freePercent     = 20
)

// gcPolicy says what goes by itself, cheapest first: what is quickly made again after two days, everything after sixty, and
// whatever is oldest when the disk fills up.
func gcPolicy(root string) []client.PruneInfo {
	space := client.PruneInfo{ReservedSpace: 2e9}
	if d, err := disk.GetDiskStat(root); err == nil {
		space.ReservedSpace, space.MaxUsedSpace, space.MinFreeSpace = share(d, reservedPercent), share(d, usedPercent), share(d, freePercent)
	}
	quick := client.PruneInfo{
		Filter:       []string{"type==source.local", "type==exec.cachemount", "type==source.git.checkout"},
		KeepDuration: 48 * time.Hour, MaxUsedSpace: int64(math.Max(512e6, float64(space.ReservedSpace)/7)),
	}
	old, all := space, space
	old.KeepDuration, all.All = 60*24*time.Hour, true
	return []client.PruneInfo{quick, old, space, all}
}

func share(d disk.DiskStat, percent int64) int64 { return d.Total / 100 * percent }
