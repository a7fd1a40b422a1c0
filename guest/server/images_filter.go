package server

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/errdefs"

	"naru/guest/engine/image"
)

// imageListOptions reads the query of GET /images/json.
func imageListOptions(r *http.Request) (o image.ListOptions, err error) {
	f, err := filtersValue(r)
	if err != nil {
		return o, err
	}
	o.All = boolValue(r, "all")
	o.Uses = !lessVersion(requestVersion(r), "1.51")
	o.Manifests = boolValue(r, "manifests") && !lessVersion(requestVersion(r), "1.47")
	o.Shared = boolValue(r, "shared-size") && !lessVersion(requestVersion(r), "1.42")
	for key, values := range f {
		last := ""
		if len(values) > 0 {
			last = values[len(values)-1]
		}
		if len(values) == 0 && slices.Contains(imageFilterNames, key) {
			continue
		}
		switch key {
		case "reference":
			o.Reference = values
		case "label":
			o.Labels = values
		case "before":
			o.Before = last
		case "since":
			o.Since = last
		case "dangling":
			v, err := boolFilter(key, values)
			if err != nil {
				return o, err
			}
			o.Dangling = &v
		case "until":
			if o.Until, err = untilValue(last); err != nil {
				return o, err
			}
		default:
			return o, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s'", key))
		}
	}
	return o, nil
}

// imagePruneOptions reads the query of POST /images/prune. Without dangling=false only images without a tag go.
func imagePruneOptions(r *http.Request) (o image.PruneOptions, err error) {
	f, err := filtersValue(r)
	if err != nil {
		return o, err
	}
	for key, values := range f {
		if len(values) == 0 {
			continue
		}
		switch last := values[len(values)-1]; key {
		case "dangling":
			v, err := boolFilter(key, values)
			if err != nil {
				return o, err
			}
			o.All = !v
		case "label":
			o.Labels = values
		case "label!":
			o.WithoutLabels = values
		case "until":
			if len(values) > 1 {
				return o, errdefs.ErrInvalidArgument.WithMessage("more than one until filter specified")
			}
			if o.Until, err = untilValue(last); err != nil {
				return o, err
			}
		default:
			return o, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s'", key))
		}
	}
	return o, nil
}

func untilValue(v string) (time.Time, error) {
	if d, err := time.ParseDuration(v); err == nil {
		return time.Now().Add(-d), nil
	}
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		return time.Unix(n, 0), nil
	}
	if t, err := time.Parse(time.RFC3339, v); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, v, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, invalidRequest("invalid value for 'until' filter: failed to parse value as time or duration: invalid seconds %q: invalid syntax", v)
}

// imageFilterNames are those of a list.
var imageFilterNames = []string{"reference", "label", "before", "since", "dangling", "until"}

// boolFilter reads a filter that is true or false, and not both.
func boolFilter(name string, values []string) (on bool, err error) {
	words := map[string]bool{"true": true, "1": true, "false": false, "0": false}
	on, ok := words[values[0]]
	for _, v := range values[1:] {
		if other, known := words[v]; !known || other != on {
			ok = false
		}
	}
	if !ok {
		return false, invalidRequest("invalid filter '%s=%s'", name, values)
	}
	return on, nil
}
