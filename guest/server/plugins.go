package server

import (
	"fmt"
	"net/http"

	"github.com/containerd/errdefs"
)

// pluginRoutes: there are no plugins, which is what clients that look everywhere for a name need to hear. Installing one
// is refused.
func pluginRoutes() []route {
	list := func(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
		if _, err := filtersValue(r); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, []struct{}{})
	}
	missing := func(_ http.ResponseWriter, _ *http.Request, vars map[string]string) error {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("plugin %q not found", vars["name"]))
	}
	never := func(http.ResponseWriter, *http.Request, map[string]string) error {
		return errdefs.ErrNotImplemented.WithMessage("naru has no plugins")
	}
	routes := []route{
		{"GET", "/plugins", list},
		{"GET", "/plugins/privileges", never},
		{"POST", "/plugins/pull", never},
		{"POST", "/plugins/create", never},
		{"GET", "/plugins/{name:*}/json", missing},
		{"DELETE", "/plugins/{name:*}", missing},
	}
	for _, action := range []string{"enable", "disable", "push", "upgrade", "set"} {
		routes = append(routes, route{"POST", "/plugins/{name:*}/" + action, missing})
	}
	return routes
}
