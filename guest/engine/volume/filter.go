package volume

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// Filter is what List and Prune select by: Docker's filter names to the accepted values of each.
type Filter map[string][]string

// check refuses filters other than known, and bad truth values.
func (f Filter) check(known ...string) error {
	for name, values := range f {
		if !slices.Contains(known, name) {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s'", name))
		}
		if name != "dangling" {
			continue
		}
		for _, v := range values {
			if _, err := truth(name, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func truth(name, v string) (bool, error) {
	switch v {
	case "1", "true", "True":
		return true, nil
	case "0", "false", "False":
		return false, nil
	}
	return false, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s=[%s]'", name, v))
}

// all is Prune's wish to delete named volumes too.
func (f Filter) all() (bool, error) {
	if len(f["all"]) == 0 {
		return false, nil
	}
	if len(f["all"]) > 1 {
		return false, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter 'all=%s': only one value is expected", f["all"]))
	}
	all, err := strconv.ParseBool(f["all"][0])
	if err != nil {
		return false, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter 'all=%s': %s", f["all"], err))
	}
	return all, nil
}

// matches reports whether v passes: any value of name, dangling and driver, every value of label, none of label!.
func (f Filter) matches(v *vol, inUse func() bool) bool {
	for name, values := range f {
		ok := true
		switch name {
		case "name":
			ok = slices.ContainsFunc(values, func(s string) bool { return matchText(s, v.name) })
		case "driver":
			ok = slices.Contains(values, driver)
		case "dangling":
			ok = slices.ContainsFunc(values, func(s string) bool { want, _ := truth(name, s); return want == !inUse() })
		case "label":
			ok = !slices.ContainsFunc(values, func(s string) bool { return !hasLabel(v, s) })
		case "label!":
			ok = !slices.ContainsFunc(values, func(s string) bool { return hasLabel(v, s) })
		}
		if !ok {
			return false
		}
	}
	return true
}

// hasLabel matches "key" or "key=value".
func hasLabel(v *vol, wish string) bool {
	key, value, exact := strings.Cut(wish, "=")
	got, ok := v.Labels[key]
	return ok && (!exact || got == value)
}

// matchText is Docker's loose match: a part of the text, or a regular expression.
func matchText(pattern, text string) bool {
	if strings.Contains(text, pattern) {
		return true
	}
	ok, err := regexp.MatchString(pattern, text)
	return err == nil && ok
}
