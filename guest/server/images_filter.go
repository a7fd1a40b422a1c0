package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/containerd/errdefs"

	"naru/guest/engine/image"
)

// imageListOptions reads the query of GET /images/json.
func imageListOptions(r *http.Request) (o image.ListOptions, err error) {
	f, err := imageFilters(r)
	if err != nil {
		return o, err
	}
	o.All = boolValue(r, "all")
	o.Shared = boolValue(r, "shared-size") && !lessVersion(requestVersion(r), "1.42")
	for key, values := range f {
		last := ""
		if len(values) > 0 {
			last = values[len(values)-1]
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
			v, err := strconv.ParseBool(last)
			if err != nil {
				return o, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter 'dangling=[%s]'", last))
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
	f, err := imageFilters(r)
	if err != nil {
		return o, err
	}
	for key, values := range f {
		if len(values) == 0 {
			continue
		}
		switch last := values[len(values)-1]; key {
		case "dangling":
			v, err := strconv.ParseBool(last)
			if err != nil {
				return o, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter 'dangling=[%s]'", last))
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
	return time.Time{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter 'until=[%s]'", v))
}

// imageFilters reads the filters parameter in both of its forms: {"k":["v"]} and {"k":{"v":true}}.
func imageFilters(r *http.Request) (map[string][]string, error) {
	text := r.URL.Query().Get("filters")
	if text == "" {
		return nil, nil
	}
	var lists map[string][]string
	if json.Unmarshal([]byte(text), &lists) == nil {
		return lists, nil
	}
	var sets map[string]map[string]bool
	if err := json.Unmarshal([]byte(text), &sets); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter: " + err.Error())
	}
	out := map[string][]string{}
	for key, set := range sets {
		for value, on := range set {
			if on {
				out[key] = append(out[key], value)
			}
		}
	}
	return out, nil
}
