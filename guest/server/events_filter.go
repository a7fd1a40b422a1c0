package server

import (
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
)

// objectFilters name an object of a type, by its name or ID or how they begin.
var objectFilters = []events.Type{
	events.ContainerEventType, events.PluginEventType, events.VolumeEventType, events.NetworkEventType, events.DaemonEventType,
	events.ServiceEventType, events.NodeEventType, events.SecretEventType, events.ConfigEventType,
}

// longActions end with what ran or how it went, "exec_create: sh -c …". Who filters by one of them means how it begins.
var longActions = []string{"health_status", "exec_create", "exec_start"}

// eventFilter returns what matches all filters, any value of each; of label: all values. As in Docker a filter that it
// does not know filters nothing.
func eventFilter(filters map[string][]string, version string) func(events.Message) bool {
	old := lessVersion(version, "1.46") // those did not know that images are created
	return func(m events.Message) bool {
		if old && m.Type == events.ImageEventType && m.Action == events.ActionCreate {
			return false
		}
		for name, values := range filters {
			if len(values) > 0 && !eventMatches(m, name, values) {
				return false
			}
		}
		return true
	}
}

func eventMatches(m events.Message, name string, values []string) bool {
	switch name {
	case "type":
		return slices.Contains(values, string(m.Type))
	case "scope":
		return slices.Contains(values, m.Scope)
	case "event":
		fuzzy := slices.ContainsFunc(values, func(v string) bool { return slices.Contains(longActions, v) })
		return slices.Contains(values, string(m.Action)) || fuzzy && hasPrefix(string(m.Action), values)
	case "label":
		return !slices.ContainsFunc(values, func(v string) bool { return !hasAttribute(m, v) })
	case "image":
		return slices.ContainsFunc(imageNames(m), func(name string) bool { return slices.Contains(values, name) })
	}
	if slices.Contains(objectFilters, events.Type(name)) {
		return hasPrefix(m.Actor.ID, values) || hasPrefix(m.Actor.Attributes["name"], values)
	}
	return true
}

func hasPrefix(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

// hasAttribute tells whether an event has a label, or a label of that value.
func hasAttribute(m events.Message, label string) bool {
	key, value, withValue := strings.Cut(label, "=")
	got, there := m.Actor.Attributes[key]
	return there && (!withValue || got == value)
}

// imageNames are how the filter can name the image of an event: of one about an image, or of a container that was
// made from it; with and without the tag.
func imageNames(m events.Message) []string {
	name := m.Actor.Attributes["image"]
	if m.Type == events.ImageEventType {
		name = m.Actor.Attributes["name"]
	}
	return []string{m.Actor.ID, name, bareName(m.Actor.ID), bareName(name)}
}

func bareName(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return image
	}
	return reference.FamiliarName(named)
}
