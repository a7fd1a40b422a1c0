package runtime

import (
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// checkCapabilities refuses unknown names, in either list, also for a privileged container.
func checkCapabilities(hc *container.HostConfig) error {
	if _, err := capabilityNames(hc.CapAdd); err != nil {
		return invalid("invalid CapAdd: %s", err)
	}
	if _, err := capabilityNames(hc.CapDrop); err != nil {
		return invalid("invalid CapDrop: %s", err)
	}
	return nil
}

// capabilities returns the bounding set: the default with CapAdd and CapDrop applied as Docker does. Names may come
// with or without "CAP_", in any case; "ALL" stands for all.
func capabilities(privileged bool, add, drop []string) ([]string, error) {
	if privileged {
		return allCapabilities(), nil
	}
	adds, err := capabilityNames(add)
	if err != nil {
		return nil, err
	}
	drops, err := capabilityNames(drop)
	if err != nil {
		return nil, err
	}
	set := slices.Clone(defaultCaps)
	switch {
	case slices.Contains(adds, "ALL"):
		set = slices.Clone(allCapabilities())
		adds = nil
	case slices.Contains(drops, "ALL"):
		set = nil
	}
	set = slices.DeleteFunc(set, func(c string) bool { return slices.Contains(drops, c) })
	for _, c := range adds {
		if !slices.Contains(set, c) {
			set = append(set, c)
		}
	}
	return set, nil
}

func capabilityNames(names []string) ([]string, error) {
	var out []string
	for _, n := range names {
		c := strings.ToUpper(n)
		if c != "ALL" {
			if !strings.HasPrefix(c, "CAP_") {
				c = "CAP_" + c
			}
			if !slices.Contains(knownCapabilities, c) {
				return nil, invalid("unknown capability: %q", c)
			}
			if !slices.Contains(allCapabilities(), c) {
				return nil, invalid("capability not supported by your kernel or not available in the current environment: %q", c)
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// capabilitySets gives root all of caps; another user gets them only in the bounding set, as in Docker.
func capabilitySets(caps []string, uid uint32) *specs.LinuxCapabilities {
	sets := &specs.LinuxCapabilities{Bounding: caps}
	if uid == 0 {
		sets.Effective, sets.Permitted = caps, caps
	}
	return sets
}

// Grants tells whether a container's root holds a capability, by its full name.
func Grants(hc *container.HostConfig, capability string) bool {
	caps, err := capabilities(hc.Privileged, hc.CapAdd, hc.CapDrop)
	return err == nil && slices.Contains(caps, capability)
}
