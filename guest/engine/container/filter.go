package container

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// match says whether a container is wanted.
type match func(r *record) bool

// compileFilters turns Docker's filters into one match. Values of one filter are alternatives (of label: all), and
// all filters must hold. The filter status implies All.
func (m *Manager) compileFilters(ctx context.Context, o *ListOptions) (match, error) {
	var all []match
	for name, values := range o.Filters {
		if len(values) == 0 && slices.Contains(filterNames, name) {
			continue
		}
		one, err := m.compileFilter(ctx, name, values)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
		if name == "status" {
			o.All = true
		}
	}
	return func(r *record) bool {
		for _, f := range all {
			if !f(r) {
				return false
			}
		}
		return true
	}, nil
}

// filterNames are those that compileFilter knows.
var filterNames = []string{
	"ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network", "publish", "since", "status", "volume",
}

func (m *Manager) compileFilter(ctx context.Context, name string, values []string) (match, error) {
	switch name {
	case "id":
		return anyOf(m.uniqueIDs(values), func(r *record, v string) bool { return r.ID == v }), nil
	case "name":
		return nameFilter(values), nil
	case "label":
		return func(r *record) bool {
			return !slices.ContainsFunc(values, func(v string) bool { return !hasLabel(r.Config.Labels, v) })
		}, nil
	case "status":
		for _, v := range values {
			if err := container.ValidateContainerState(container.ContainerState(v)); err != nil {
				return nil, invalid("invalid filter 'status=%s': %s", v, err)
			}
		}
		return anyOf(values, func(r *record, v string) bool { return string(r.State.shown()) == v }), nil
	case "exited":
		return exitedFilter(values)
	case "ancestor":
		return m.ancestorFilter(ctx, values), nil
	case "before", "since":
		return m.ageFilter(name, values)
	case "volume":
		return anyOf(values, func(r *record, v string) bool {
			return slices.ContainsFunc(r.Mounts, func(p container.MountPoint) bool { return p.Name == v || p.Destination == v || p.Source == v })
		}), nil
	case "network":
		return anyOf(values, func(r *record, v string) bool { return inNetwork(m.networkSettings(r).Networks, v) }), nil
	case "publish", "expose":
		return portFilter(name, values)
	case "health":
		return healthFilter(values)
	case "is-task":
		return taskFilter(values)
	case "isolation":
		return func(*record) bool { return true }, nil
	}
	return nil, invalid("invalid filter '%s'", name)
}

func anyOf(values []string, f func(r *record, v string) bool) match {
	return func(r *record) bool {
		return slices.ContainsFunc(values, func(v string) bool { return f(r, v) })
	}
}

func healthFilter(values []string) (match, error) {
	for _, v := range values {
		if err := container.ValidateHealthStatus(container.HealthStatus(v)); err != nil {
			return nil, invalid("invalid filter 'health=%s': %s", v, err)
		}
	}
	return anyOf(values, func(r *record, v string) bool {
		if r.Health == nil {
			return v == string(container.NoHealthcheck)
		}
		return v == string(r.Health.Status)
	}), nil
}

// uniqueIDs are the IDs that the prefixes mean; a prefix of none or of several means none, as in Docker.
func (m *Manager) uniqueIDs(prefixes []string) []string {
	var ids []string
	for _, p := range prefixes {
		if c, err := m.find(p); err == nil && p != "" && strings.HasPrefix(c.ID, p) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// nameFilter takes regular expressions; what is none matches nothing.
func nameFilter(values []string) match {
	var patterns []*regexp.Regexp
	for _, v := range values {
		if re, err := regexp.Compile(v); err == nil {
			patterns = append(patterns, re)
		}
	}
	return func(r *record) bool {
		return slices.ContainsFunc(patterns, func(re *regexp.Regexp) bool {
			return re.MatchString(r.Name) || re.MatchString("/"+r.Name)
		})
	}
}

// taskFilter: no container of ours is a swarm's task.
func taskFilter(values []string) (match, error) {
	wish := map[string]bool{"true": true, "1": true, "false": false, "0": false}
	task, ok := wish[values[0]]
	for _, v := range values[1:] {
		if other, known := wish[v]; !known || other != task {
			ok = false
		}
	}
	if !ok {
		return nil, invalid("invalid filter 'is-task=%s'", values)
	}
	return func(*record) bool { return !task }, nil
}

func hasLabel(labels map[string]string, wish string) bool {
	key, value, withValue := strings.Cut(wish, "=")
	got, there := labels[key]
	return there && (!withValue || got == value)
}

func exitedFilter(values []string) (match, error) {
	var codes []int
	for _, v := range values {
		n, err := strconv.Atoi(v)
		if err != nil {
			return nil, invalid("invalid filter 'exited=%s': %s", v, err)
		}
		codes = append(codes, n)
	}
	return func(r *record) bool {
		return r.State.Status == container.StateExited && slices.Contains(codes, r.State.ExitCode)
	}, nil
}

// ancestorFilter matches the image by name, by ID, and by being made upon another one's layers.
func (m *Manager) ancestorFilter(ctx context.Context, values []string) match {
	ids := map[string]bool{}
	for _, v := range values {
		if img, err := m.Images.Resolve(ctx, v); err == nil {
			ids[img.ID] = true
		}
	}
	return func(r *record) bool { return ids[r.ImageID] || slices.Contains(values, r.Config.Image) }
}

func (m *Manager) ageFilter(name string, values []string) (match, error) {
	c, err := m.find(values[0])
	if err != nil {
		return nil, err
	}
	edge := c.Created
	if name == "before" {
		return func(r *record) bool { return r.Created.Before(edge) }, nil
	}
	return func(r *record) bool { return r.Created.After(edge) }, nil
}

func inNetwork(networks map[string]*network.EndpointSettings, wish string) bool {
	for name, e := range networks {
		if name == wish || e != nil && e.NetworkID != "" && strings.HasPrefix(e.NetworkID, wish) {
			return true
		}
	}
	return false
}

// portFilter matches a port or range of ports, "80", "80/udp", "8000-8010/tcp", with those that a running container shows:
// publish with the ports of the host, expose with its own.
func portFilter(name string, values []string) (match, error) {
	var ranges []network.PortRange
	for _, v := range values {
		if strings.Contains(v, ":") {
			return nil, invalid("filter for '%s' should not contain ':': %s", name, v)
		}
		r, err := network.ParsePortRange(v)
		if err != nil {
			return nil, invalid("error while looking up for %s %s: %s", name, v, err)
		}
		ranges = append(ranges, r)
	}
	return func(r *record) bool {
		return slices.ContainsFunc(portSummaries(r), func(p container.PortSummary) bool {
			port := p.PrivatePort
			if name == "publish" {
				port = p.PublicPort
			}
			return slices.ContainsFunc(ranges, func(w network.PortRange) bool {
				return string(w.Proto()) == p.Type && w.Start() <= port && port <= w.End()
			})
		})
	}, nil
}

// ParseTime reads a time as Docker's API has it: seconds since 1970 with a fraction, RFC 3339, a date, or a duration
// before now. The empty string and "0" are the zero time.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if s == "" || s == "0" {
		return time.Time{}, nil
	}
	if seconds, fraction, _ := strings.Cut(s, "."); strings.Trim(seconds+fraction, "0123456789") == "" {
		sec, err := strconv.ParseInt(seconds, 10, 64)
		nsec, err2 := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
		if err == nil && err2 == nil {
			return time.Unix(sec, nsec), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, invalid("%s", fmt.Sprintf("invalid time %q", s))
}
