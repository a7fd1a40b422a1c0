package network

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// Filter is what List selects by: Docker's filter names to the accepted values of each.
type Filter map[string][]string

// compileList checks the filters of a list, in Docker's words, and returns what they say of a network that has
// containers or not.
func compileList(f Filter) (func(n *netEntry, inUse bool) bool, error) {
	if err := f.accept("dangling", "driver", "id", "label", "name", "scope", "type"); err != nil {
		return nil, err
	}
	switch d := f["dangling"]; {
	case len(d) > 1:
		return nil, invalid(`got more than one value for filter key "dangling"`)
	case len(d) == 1 && !slices.Contains([]string{"true", "1", "false", "0"}, d[0]):
		return nil, invalid(`invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")`)
	}
	for _, v := range f["type"] {
		if v != "builtin" && v != "custom" {
			return nil, fmt.Errorf("invalid filter: 'type'='%s'", v) // without a class, as in Docker
		}
	}
	return f.matches, nil
}

// compilePrune does it for Prune; "until" is a time that the caller has made of what the user wrote.
func compilePrune(f Filter, until time.Time) (func(n *netEntry) bool, error) {
	if err := f.accept("label", "label!", "until"); err != nil {
		return nil, err
	}
	return func(n *netEntry) bool {
		return (len(f["label"]) == 0 || hasLabels(f["label"], n.Labels)) &&
			(len(f["label!"]) == 0 || !hasLabels(f["label!"], n.Labels)) && !n.Created.After(until)
	}, nil
}

func (f Filter) accept(names ...string) error {
	for name := range f {
		if !slices.Contains(names, name) {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s'", name))
		}
	}
	return nil
}

// matches reports whether n passes: within one filter any value will do, but all labels must be there; and all
// filters must agree.
func (f Filter) matches(n *netEntry, inUse bool) bool {
	builtin := isPredefined(n.Name)
	for name, values := range f {
		if len(values) == 0 {
			continue
		}
		if name == "label" {
			if !hasLabels(values, n.Labels) {
				return false
			}
			continue
		}
		ok := slices.ContainsFunc(values, func(v string) bool {
			switch name {
			case "name":
				return matchText(v, n.Name)
			case "id":
				return matchText(v, n.ID)
			case "driver":
				return v == n.Driver
			case "scope":
				return v == "local"
			case "type":
				return (v == "builtin") == builtin
			}
			// dangling
			return (v == "true" || v == "1") == (!inUse && !builtin)
		})
		if !ok {
			return false
		}
	}
	return true
}

func hasLabels(wanted []string, labels map[string]string) bool {
	for _, w := range wanted {
		name, value, said := strings.Cut(w, "=")
		if have, ok := labels[name]; !ok || said && have != value {
			return false
		}
	}
	return true
}

// matchText is Docker's loose match: a regular expression anywhere in the text.
func matchText(pattern, text string) bool {
	if pattern == text {
		return true
	}
	ok, err := regexp.MatchString(pattern, text)
	return err == nil && ok
}
