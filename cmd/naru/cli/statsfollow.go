package cli

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"naru/cmd/naru/table"
	"naru/cmd/naru/terminal"
	"naru/host/client"
)

const (
	statsRedraw  = 500 * time.Millisecond
	statsSilence = 2 * time.Second // after which a container's numbers are not true any more
)

// liveStats is the table of `stats` while it is shown.
type liveStats struct {
	c    *client.Client
	full bool

	all sync.WaitGroup // one for each container that is followed

	mu   sync.Mutex // guards all below
	rows []*liveRow
}

// liveRow is one container of it.
type liveRow struct {
	name  string
	row   statsRow
	at    time.Time // of the newest sample
	first chan struct{}
	err   error
	stop  func()
}

// followStats shows the containers named, or all, until the user has seen enough.
func (a *app) followStats(ctx context.Context, c *client.Client, names []string, o statsOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	live := &liveStats{c: c, full: o.noTrunc}
	defer live.all.Wait()
	defer cancel()
	ended := make(chan error, 1)
	for _, name := range names {
		live.follow(ctx, name)
	}
	if len(names) == 0 {
		since := time.Now()
		list, err := c.ContainerList(ctx, client.ListOptions{All: o.all})
		if err != nil {
			return err
		}
		for _, s := range list {
			live.follow(ctx, s.ID)
		}
		live.all.Go(func() { ended <- live.watch(ctx, since, o.all) })
	}
	if err := live.begun(ctx, len(names) > 0); err != nil {
		return err
	}
	ticker := time.NewTicker(statsRedraw)
	defer ticker.Stop()
	for {
		if err := a.drawStats(live, o.format); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case err := <-ended:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// follow adds a container, once.
func (l *liveStats) follow(ctx context.Context, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(l.rows, func(r *liveRow) bool { return r.name == name }) {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	r := &liveRow{name: name, first: make(chan struct{}), stop: stop}
	l.rows = append(l.rows, r)
	l.all.Go(func() {
		defer stop()
		begin := sync.OnceFunc(func() { close(r.first) })
		defer begin()
		err := l.c.ContainerStats(ctx, name, true, func(s *container.StatsResponse) error {
			l.mu.Lock()
			r.row, r.at = newStatsRow(name, s, l.full), time.Now()
			l.mu.Unlock()
			begin()
			return nil
		})
		l.mu.Lock()
		defer l.mu.Unlock()
		r.err, r.at = err, time.Time{}
	})
}

// forget removes a container.
func (l *liveStats) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows = slices.DeleteFunc(l.rows, func(r *liveRow) bool {
		if r.name == name {
			r.stop()
		}
		return r.name == name
	})
}

// begun waits for a sample of each container. With strict, one that cannot be followed is an error.
func (l *liveStats) begun(ctx context.Context, strict bool) error {
	l.mu.Lock()
	rows := slices.Clone(l.rows)
	l.mu.Unlock()
	var errs several
	for _, r := range rows {
		select {
		case <-r.first:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		l.mu.Lock()
		if r.err != nil && strict {
			errs = append(errs, r.err)
		}
		l.mu.Unlock()
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// watch adds and removes containers as they come and go. A stopped engine ends it without an error.
func (l *liveStats) watch(ctx context.Context, since time.Time, all bool) error {
	from := strconv.FormatInt(since.Unix(), 10)
	filters := client.Filters{"type": {"container"}, "event": {"create", "start", "die", "destroy"}}
	return l.c.Events(ctx, from, "", filters, func(m events.Message) error {
		if m.TimeNano < since.UnixNano() {
			return nil
		}
		switch m.Action {
		case events.ActionCreate, events.ActionStart:
			if all || m.Action == events.ActionStart {
				l.follow(ctx, m.Actor.ID)
			}
		case events.ActionDie, events.ActionDestroy:
			if !all || m.Action == events.ActionDestroy {
				l.forget(m.Actor.ID)
			}
		}
		return nil
	})
}

// view is the rows as they are to be shown now.
func (l *liveStats) view() []statsRow {
	l.mu.Lock()
	defer l.mu.Unlock()
	rows := make([]statsRow, 0, len(l.rows))
	for _, r := range l.rows {
		if time.Since(r.at) > statsSilence {
			rows = append(rows, unknownStats(r.name, orDashes(r.row.ID), orDashes(r.row.Name)))
		} else {
			rows = append(rows, r.row)
		}
	}
	return rows
}

func orDashes(s string) string {
	if s == "" {
		return "--"
	}
	return s
}

// drawStats writes the table over the former one in one go, each line with what is left of the old one removed: it
// does not flicker. Where there is no terminal the tables follow each other.
func (a *app) drawStats(l *liveStats, format string) error {
	var text bytes.Buffer
	if err := table.Print(&text, format, statsTable, l.view()); err != nil {
		return err
	}
	if !terminal.Is(a.out) {
		_, err := a.out.Write(text.Bytes())
		return err
	}
	frame := []byte("\x1b[H")
	for line := range bytes.Lines(text.Bytes()) {
		frame = append(frame, bytes.TrimSuffix(line, []byte("\n"))...)
		frame = append(frame, "\x1b[K\n"...)
	}
	_, err := a.out.Write(append(frame, "\x1b[J"...))
	return err
}
