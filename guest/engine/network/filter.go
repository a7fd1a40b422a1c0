package network

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// Filter is what List selects by: Docker's filter names to the accepted values of each.
type Filter map[string][]string

// check refuses filters that Docker does not know, with its words.
func (f Filter) check() error {
	for name, values := range f {
		switch name {
		case "name", "id", "driver", "label", "scope":
		case "type":
			for _, v := range values {
				if v != "builtin" && v != "custom" {
					return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter: 'type'='%s'", v))
				}
			}
		case "dangling":
			for _, v := range values {
				if !slices.Contains([]string{"true", "false", "1", "0"}, v) {
					return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid value for filter 'dangling': %q", v))
				}
			}
		default:
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s'", name))
		}
	}
	return nil
}

// matches reports whether n passes: within one filter any value will do, and all filters must agree.
func (f Filter) matches(n *netEntry, inUse bool) bool {
	builtin := slices.ContainsFunc(predefined, func(p netRecord) bool { return p.Name == n.Name })
	for name, values := range f {
		ok := slices.ContainsFunc(values, func(v string) bool {
			switch name {
			case "name":
				return matchText(v, n.Name)
			case "id":
				return strings.HasPrefix(n.ID, v)
			case "driver":
				return v == n.Driver
			case "scope":
				return v == "local"
			case "type":
				return (v == "builtin") == builtin
			case "dangling":
				return (v == "true" || v == "1") == (!inUse && !builtin)
			}
			return false // label: networks have none yet
		})
		if !ok {
			return false
		}
	}
	return true
}

// matchText is Docker's loose match: a part of the text, or a regular expression.
func matchText(pattern, text string) bool {
	if strings.Contains(text, pattern) {
		return true
	}
	ok, err := regexp.MatchString(pattern, text)
	return err == nil && ok
}
