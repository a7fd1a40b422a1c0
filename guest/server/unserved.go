package server

import (
	"fmt"
	"net/http"

	"github.com/containerd/errdefs"
)

// unserved are the endpoints of Docker's API that naru does not serve yet.
var unserved = []struct{ method, pattern string }{
	{"POST", "/build"},
	{"POST", "/build/cancel"},
	{"POST", "/grpc"},
	{"POST", "/session"},
	{"POST", "/commit"},
	{"GET", "/images/search"},
	{"GET", "/images/{name:*}/attestations"},
	{"GET", "/containers/{id:*}/archive"},
	{"HEAD", "/containers/{id:*}/archive"},
	{"PUT", "/containers/{id:*}/archive"},
	{"GET", "/containers/{id:*}/attach/ws"},
	{"GET", "/containers/{id:*}/changes"},
	{"GET", "/containers/{id:*}/export"},
	{"GET", "/containers/{id:*}/stats"},
	{"GET", "/containers/{id:*}/top"},
	{"POST", "/containers/{id:*}/pause"},
	{"POST", "/containers/{id:*}/unpause"},
	{"POST", "/containers/{id:*}/update"},
	{"POST", "/networks/create"},
	{"POST", "/networks/prune"},
	{"POST", "/networks/{id:*}/connect"},
	{"POST", "/networks/{id:*}/disconnect"},
	{"DELETE", "/networks/{id:*}"},
	{"GET", "/containers/{id:*}/checkpoints"},
	{"POST", "/containers/{id:*}/checkpoints"},
	{"DELETE", "/containers/{id}/checkpoints/{checkpoint}"},
	{"PUT", "/volumes/{name:*}"},
}

// unservedRoutes come after all that is served: a pattern that is served by now is not reached.
func unservedRoutes() []route {
	var routes []route
	for _, u := range unserved {
		routes = append(routes, route{u.method, u.pattern, func(_ http.ResponseWriter, r *http.Request, _ map[string]string) error {
			_, path := splitVersion(r.URL.Path)
			return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("naru does not serve %s %s yet", r.Method, path))
		}})
	}
	return routes
}
