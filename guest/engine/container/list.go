package container

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
)

// ListOptions choose containers.
type ListOptions struct {
	All     bool // also those that do not run
	Limit   int  // the newest so many, of all; 0 or less for no limit
	Size    bool
	Filters map[string][]string // filter → accepted values
}

// List returns the containers that match, newest first.
func (m *Manager) List(ctx context.Context, o ListOptions) ([]container.Summary, error) {
	match, err := m.compileFilters(ctx, &o)
	if err != nil {
		return nil, err
	}
	list := m.all()
	slices.SortFunc(list, func(a, b *Container) int {
		return -a.Created.Compare(b.Created)
	})
	out := []container.Summary{}
	for _, c := range list {
		if o.Limit > 0 && len(out) == o.Limit {
			break
		}
		r := c.snapshot()
		if !o.All && o.Limit <= 0 && !r.State.alive() || !match(&r) {
			continue
		}
		s := m.summary(ctx, &r)
		if o.Size {
			s.SizeRw, s.SizeRootFs = m.sizes(ctx, c)
		}
		out = append(out, s)
	}
	return out, nil
}

func (m *Manager) summary(ctx context.Context, r *record) container.Summary {
	path, args := r.command()
	s := container.Summary{
		ID: r.ID, Names: []string{"/" + r.Name}, Image: m.imageName(ctx, r), ImageID: r.ImageID,
		Command: commandLine(path, args), Created: r.Created.Unix(),
		Ports: portSummaries(r), Labels: r.Config.Labels, State: r.State.shown(), Status: r.status(time.Now()),
		NetworkSettings: &container.NetworkSettingsSummary{Networks: m.networkSettings(r).Networks},
		Mounts:          orEmpty(r.Mounts),
		Health:          &container.HealthSummary{Status: container.NoHealthcheck},
	}
	if r.Health != nil {
		s.Health = &container.HealthSummary{Status: r.Health.Status, FailingStreak: r.Health.FailingStreak}
	}
	s.HostConfig.NetworkMode = string(r.HostConfig.NetworkMode)
	s.HostConfig.Annotations = r.HostConfig.Annotations
	return s
}

// commandLine is the COMMAND column: arguments with spaces in quotes, as Docker writes it.
func commandLine(path string, args []string) string {
	var b strings.Builder
	b.WriteString(path)
	for _, arg := range args {
		if strings.Contains(arg, " ") {
			arg = "'" + arg + "'"
		}
		b.WriteString(" " + arg)
	}
	return b.String()
}

// imageName is what the user called the image, or its ID once that name means another one.
func (m *Manager) imageName(ctx context.Context, r *record) string {
	img, err := m.Images.Resolve(ctx, r.Config.Image)
	if err != nil || img.ID != r.ImageID {
		return r.ImageID
	}
	return r.Config.Image
}

// status is the STATUS column of docker ps.
func (r *record) status(now time.Time) string {
	text := r.State.text(now)
	switch {
	case r.Health == nil || r.State.shown() != container.StateRunning:
		return text
	case r.Health.Status == container.Starting:
		return text + " (health: starting)"
	}
	return text + " (" + string(r.Health.Status) + ")"
}

// text is the same without the health.
func (s *state) text(now time.Time) string {
	switch s.Status {
	case container.StateRunning:
		up := "Up " + units.HumanDuration(now.Sub(s.Started))
		if s.Paused {
			up += " (Paused)"
		}
		return up
	case container.StateRestarting:
		return fmt.Sprintf("Restarting (%d) %s ago", s.ExitCode, units.HumanDuration(now.Sub(s.Finished)))
	case container.StateRemoving:
		return "Removal In Progress"
	case container.StateDead:
		return "Dead"
	case container.StateExited:
		if s.Finished.IsZero() {
			return "Created"
		}
		return fmt.Sprintf("Exited (%d) %s ago", s.ExitCode, units.HumanDuration(now.Sub(s.Finished)))
	}
	return "Created"
}

// portSummaries are the ports of a container by address and number.
func portSummaries(r *record) []container.PortSummary {
	out := []container.PortSummary{}
	for p, bindings := range r.shownPorts() {
		if len(bindings) == 0 {
			out = append(out, container.PortSummary{PrivatePort: p.Num(), Type: string(p.Proto())})
		}
		for _, b := range bindings {
			public, _ := strconv.ParseUint(b.HostPort, 10, 16) // the network wrote it
			out = append(out, container.PortSummary{IP: b.HostIP, PrivatePort: p.Num(), PublicPort: uint16(public), Type: string(p.Proto())})
		}
	}
	slices.SortFunc(out, func(a, b container.PortSummary) int {
		return cmp.Or(a.IP.Compare(b.IP), cmp.Compare(a.PrivatePort, b.PrivatePort), cmp.Compare(a.Type, b.Type), cmp.Compare(a.PublicPort, b.PublicPort))
	})
	return out
}
