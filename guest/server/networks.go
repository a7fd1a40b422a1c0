package server

import (
	"net/http"

	"github.com/containerd/errdefs"

	"naru/guest/engine/network"
)

// networkRoutes serves /networks. Making, connecting and pruning networks answer 501 for now.
func networkRoutes(m *network.Manager) []route {
	list := func(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
		f, err := filtersValue(r)
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
