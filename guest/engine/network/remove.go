package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/events"
)

// Remove removes a network that no container is on.
func (m *Manager) Remove(_ context.Context, ref string) error {
	m.setup.Lock()
	defer m.setup.Unlock()
	m.mu.Lock()
	n, err := m.find(ref)
	if err == nil {
		err = m.removable(n)
	}
	if err == nil {
		n.going = true
	}
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.removeNetwork(n)
}

// removable says why n cannot go. The caller holds mu.
func (m *Manager) removable(n *netEntry) error {
	if isPredefined(n.Name) {
		return forbidden("%s is a pre-defined network and cannot be removed", n.Name)
	}
	var names []string
	eps := m.attached(n)
	for _, id := range slices.SortedFunc(maps.Keys(eps), func(a, b string) int { return cmp.Compare(m.boxes[a].Name, m.boxes[b].Name) }) {
		names = append(names, fmt.Sprintf("name:%q id:%q", m.boxes[id].Name, eps[id].EndpointID[:12]))
	}
	if len(names) > 0 || n.holds > 0 {
		return forbidden("error while removing network: network %s has active endpoints (%s)", n.Name, strings.Join(names, ", "))
	}
	for _, other := range m.nets {
		if n.ConfigOnly && other.ConfigFrom == n.Name {
			return forbidden("error while removing network: configuration network %q is in use", n.Name)
		}
	}
	return nil
}

// removeNetwork removes n, which is marked as going; setup is held.
func (m *Manager) removeNetwork(n *netEntry) error {
	n.Unfinished = true
	err := m.saveNetwork(n, false)
	if err == nil {
		err = m.unmake(n)
	}
	m.mu.Lock()
	if err != nil {
		n.going = false
	} else {
		delete(m.nets, n.ID)
	}
	m.mu.Unlock()
	if err != nil {
		// It is still there for those who ask, and the next try goes on from here.
		return fmt.Errorf("error while removing network: %w", err)
	}
	m.emit(events.ActionDestroy, n, "")
	return nil
}

// Prune removes the networks that no container is on, that were made until then and that the filter matches, and
// returns their names.
func (m *Manager) Prune(ctx context.Context, f Filter, until time.Time) ([]string, error) {
	match, err := compilePrune(f, until)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	var list []*netEntry
	for _, n := range m.sorted() {
		if match(n) && !isPredefined(n.Name) && m.removable(n) == nil {
			list = append(list, n)
		}
	}
	m.mu.Unlock()
	var gone []string
	var errs []error
	for _, n := range list {
		if ctx.Err() != nil {
			break
		}
		switch err := m.Remove(ctx, n.ID); {
		case err == nil:
			gone = append(gone, n.Name)
		default:
			m.opts.Log.Warn("network: prune leaves a network", "network", n.Name, "error", err)
			errs = append(errs, err)
		}
	}
	if len(gone) == 0 && len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if m.opts.Events != nil {
		m.opts.Events.Emit(events.NetworkEventType, events.ActionPrune, "", map[string]string{"reclaimed": "0"})
	}
	return gone, nil
}
