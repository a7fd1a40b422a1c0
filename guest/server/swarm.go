package server

import (
	"net/http"

	"github.com/containerd/errdefs"
)

// Docker's words on a node outside a swarm. Clients look for them to pass over what needs a swarm.
const (
	noManager = `This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`
	noSwarm   = "This node is not part of a swarm"
)

// swarmRoutes answers as a Docker that is in no swarm. There is no way into one.
func swarmRoutes() []route {
	answer := func(err error) handlerFunc {
		return func(http.ResponseWriter, *http.Request, map[string]string) error { return err }
	}
	none := answer(errdefs.ErrUnavailable.WithMessage(noManager))
	never := answer(errdefs.ErrNotImplemented.WithMessage("naru has no swarm mode"))
	routes := []route{
		{"POST", "/swarm/init", never},
		{"POST", "/swarm/join", never},
		{"POST", "/swarm/leave", answer(errdefs.ErrUnavailable.WithMessage(noSwarm))},
		{"GET", "/swarm", none},
		{"GET", "/swarm/unlockkey", none},
		{"POST", "/swarm/update", none},
		{"POST", "/swarm/unlock", none},
		{"GET", "/tasks", none},
		{"GET", "/tasks/{id}", none},
		{"GET", "/tasks/{id}/logs", none},
		{"GET", "/services/{id}/logs", none},
		{"GET", "/nodes", none},
		{"GET", "/nodes/{id}", none},
		{"DELETE", "/nodes/{id}", none},
		{"POST", "/nodes/{id}/update", none},
	}
	for _, kind := range []string{"services", "secrets", "configs"} {
		routes = append(routes,
			route{"GET", "/" + kind, none},
			route{"POST", "/" + kind + "/create", none},
			route{"GET", "/" + kind + "/{id}", none},
			route{"DELETE", "/" + kind + "/{id}", none},
			route{"POST", "/" + kind + "/{id}/update", none},
		)
	}
	return routes
}
