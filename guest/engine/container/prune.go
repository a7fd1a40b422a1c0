package container

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// Prune removes the containers that do not run and match the filters label, label! and until. One prune runs at a time.
func (m *Manager) Prune(ctx context.Context, filters map[string][]string) (*container.PruneReport, error) {
	match, err := pruneFilter(filters)
	if err != nil {
		return nil, err
	}
	if !m.pruning.CompareAndSwap(false, true) {
		return nil, errConflict("a prune operation is already running")
	}
	defer m.pruning.Store(false)
	report := &container.PruneReport{}
	for _, c := range m.all() {
		if ctx.Err() != nil {
			return report, nil // what was removed is told
		}
		if r := c.snapshot(); r.State.alive() || !match(&r) {
			continue
		}
		size, _ := m.sizes(ctx, c)
		if err := m.Delete(ctx, c.ID, DeleteOptions{}); err != nil { // it was started meanwhile, or is being removed
			m.Log.Warn("prune container", "id", c.ID, "error", err)
			continue
		}
		report.ContainersDeleted = append(report.ContainersDeleted, c.ID)
		report.SpaceReclaimed += uint64(size)
	}
	m.Events.Emit(events.ContainerEventType, events.ActionPrune, "", map[string]string{
		"reclaimed": strconv.FormatUint(report.SpaceReclaimed, 10),
	})
	return report, nil
}

// pruneFilter: all values of label must hold, and not all of label!, as in Docker.
func pruneFilter(filters map[string][]string) (match, error) {
	var until time.Time
	for name, values := range filters {
		switch {
		case name == "label", name == "label!":
		case name != "until":
			return nil, invalid("invalid filter '%s'", name)
		case len(values) > 1:
			return nil, invalid("more than one until filter specified")
		case len(values) == 1:
			var err error
			if until, err = ParseTime(values[0], time.Now()); err != nil {
				return nil, err
			}
		}
	}
	hasAll := func(r *record, labels []string) bool {
		return !slices.ContainsFunc(labels, func(v string) bool { return !hasLabel(r.Config.Labels, v) })
	}
	return func(r *record) bool {
		without := filters["label!"]
		return (until.IsZero() || !r.Created.After(until)) && hasAll(r, filters["label"]) && (len(without) == 0 || !hasAll(r, without))
	}, nil
}
