package container

import (
	"maps"

	"github.com/moby/moby/api/types/events"
)

// emit tells of a container: its labels, image and name, and what is particular to the action as pairs.
func (m *Manager) emit(c *Container, action events.Action, pairs ...string) {
	c.mu.Lock()
	name := c.Name
	c.mu.Unlock()
	attributes := make(map[string]string, len(c.Config.Labels)+2+len(pairs)/2)
	maps.Copy(attributes, c.Config.Labels)
	attributes["image"], attributes["name"] = c.Config.Image, name
	for i := 0; i+1 < len(pairs); i += 2 {
		attributes[pairs[i]] = pairs[i+1]
	}
	m.Events.Emit(events.ContainerEventType, action, c.ID, attributes)
}
