package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	mobynet "github.com/moby/moby/api/types/network"

	"naru/guest/engine/container"
	"naru/guest/engine/network"
)

// networks serves /networks.
type networks struct {
	nets       *network.Manager
	containers *container.Manager
}

func networkRoutes(m *network.Manager, c *container.Manager) []route {
	n := &networks{m, c}
	return []route{
		{http.MethodGet, "/networks", n.list},
		{http.MethodGet, "/networks/", n.list}, // as Docker
		{http.MethodPost, "/networks/create", n.create},
		{http.MethodPost, "/networks/prune", n.prune},
		{http.MethodPost, "/networks/{id:*}/connect", n.connect},
		{http.MethodPost, "/networks/{id:*}/disconnect", n.disconnect},
		{http.MethodGet, "/networks/{id:*}", n.inspect},
		{http.MethodDelete, "/networks/{id:*}", n.remove},
	}
}

func (n *networks) list(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	f, err := filtersValue(r)
	if err != nil {
		return err
	}
	list, err := n.nets.List(network.Filter(f))
	if err != nil {
		return err
	}
	if !lessVersion(requestVersion(r), "1.52") {
		return writeJSON(w, http.StatusOK, list)
	}
	// Until 1.52 a list had the containers' place too, and until 1.28 the containers.
	full := []*mobynet.Inspect{}
	for _, s := range list {
		one := &mobynet.Inspect{Network: s.Network, Containers: map[string]mobynet.EndpointResource{}}
		if lessVersion(requestVersion(r), "1.28") {
			if one, err = n.nets.Inspect(s.ID); err != nil {
				continue // it has just gone
			}
			one.Status = nil
		}
		full = append(full, one)
	}
	return writeJSON(w, http.StatusOK, full)
}

func (n *networks) inspect(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	if v := r.URL.Query().Get("verbose"); v != "" {
		if _, err := strconv.ParseBool(v); err != nil {
			return errdefs.ErrInvalidArgument.WithMessage("invalid value for verbose: " + v + ": " + err.Error())
		}
	}
	if scope := r.FormValue("scope"); scope != "" && scope != "local" {
		return errdefs.ErrNotFound.WithMessage("network " + vars["id"] + " not found")
	}
	found, err := n.nets.Inspect(vars["id"])
	if err != nil {
		return err
	}
	if lessVersion(requestVersion(r), "1.52") {
		found.Status = nil
	}
	return writeJSON(w, http.StatusOK, found)
}

func (n *networks) create(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	var req mobynet.CreateRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if lessVersion(requestVersion(r), "1.48") {
		req.EnableIPv4 = nil
	}
	id, err := n.nets.Create(r.Context(), req)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, mobynet.CreateResponse{ID: id})
}

func (n *networks) remove(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	if err := n.nets.Remove(r.Context(), vars["id"]); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (n *networks) prune(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	f, err := filtersValue(r)
	if err != nil {
		return err
	}
	until := time.Now()
	switch list := f["until"]; {
	case len(list) > 1:
		return errdefs.ErrInvalidArgument.WithMessage("more than one until filter specified")
	case len(list) == 1:
		if until, err = container.ParseTime(list[0], until); err != nil {
			return err
		}
	}
	gone, err := n.nets.Prune(r.Context(), network.Filter(f), until)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, mobynet.PruneReport{NetworksDeleted: gone})
}

func (n *networks) connect(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	var req mobynet.ConnectRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if lessVersion(requestVersion(r), "1.54") && req.EndpointConfig != nil {
		req.EndpointConfig.MacAddress = nil // it came with 1.54: older engines took no notice of it
	}
	return n.containers.ConnectNetwork(r.Context(), req.Container, vars["id"], req.EndpointConfig)
}

func (n *networks) disconnect(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	var req mobynet.DisconnectRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	return n.containers.DisconnectNetwork(r.Context(), req.Container, vars["id"], req.Force)
}
