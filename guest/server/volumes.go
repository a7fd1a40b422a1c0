package server

import (
	"fmt"
	"net/http"

	apivolume "github.com/moby/moby/api/types/volume"

	"naru/guest/engine/volume"
)

// volumeRoutes serves /volumes.
func volumeRoutes(m *volume.Manager) []route {
	list := func(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
		f, err := filtersValue(r)
		if err != nil {
			return fmt.Errorf("error reading volume filters: %w", err)
		}
		vols, err := m.List(volume.Filter(f))
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, apivolume.ListResponse{Volumes: vols})
	}
	get := func(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
		v, err := m.Get(vars["name"])
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, v)
	}
	create := func(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
		var req apivolume.CreateRequest
		if err := readJSON(w, r, &req); err != nil {
			return err
		}
		v, err := m.Create(r.Context(), req)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusCreated, v)
	}
	remove := func(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
		if err := m.Remove(r.Context(), vars["name"], boolValue(r, "force")); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	prune := func(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
		f, err := filtersValue(r)
		if err != nil {
			return err
		}
		if lessVersion(requestVersion(r), "1.42") { // until then it meant all
			if f == nil {
				f = map[string][]string{}
			}
			f["all"] = append(f["all"], "true")
		}
		report, err := m.Prune(r.Context(), volume.Filter(f))
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, report)
	}
	return []route{
		{http.MethodGet, "/volumes", list},
		{http.MethodPost, "/volumes/create", create},
		{http.MethodPost, "/volumes/prune", prune},
		{http.MethodGet, "/volumes/{name:*}", get},
		{http.MethodDelete, "/volumes/{name:*}", remove},
	}
}
