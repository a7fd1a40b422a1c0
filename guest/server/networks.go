package server

import (
	"encoding/json"
	"net/http"

	"github.com/containerd/errdefs"

	"naru/guest/engine/network"
)

// networkRoutes serves /networks. Making, connecting and pruning networks answer 501 for now.
func networkRoutes(m *network.Manager) []route {
	list := func(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
		f, err := listFilters(r)
		if err != nil {
			return err
		}
		nets, err := m.List(network.Filter(f))
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, nets)
	}
	inspect := func(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
		if scope := r.FormValue("scope"); scope != "" && scope != "local" {
			return errdefs.ErrNotFound.WithMessage("network " + vars["id"] + " not found")
		}
		n, err := m.Inspect(vars["id"])
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, n)
	}
	return []route{
		{http.MethodGet, "/networks", list},
		{http.MethodGet, "/networks/", list}, // as Docker
		{http.MethodGet, "/networks/{id:*}", inspect},
	}
}

// listFilters reads the filters parameter in both of its forms: {"k":["v"]} of old clients and {"k":{"v":true}}.
func listFilters(r *http.Request) (map[string][]string, error) {
	text := r.FormValue("filters")
	if text == "" {
		return nil, nil
	}
	var lists map[string][]string
	if json.Unmarshal([]byte(text), &lists) == nil {
		return lists, nil
	}
	var sets map[string]map[string]bool
	if json.Unmarshal([]byte(text), &sets) != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid filter")
	}
	out := map[string][]string{}
	for name, values := range sets {
		for v := range values {
			out[name] = append(out[name], v)
		}
	}
	return out, nil
}
