package server

import (
	"net/http"

	containertypes "github.com/moby/moby/api/types/container"

	"naru/guest/engine/container"
)

// execRoutes serves /containers/…/exec and /exec/….
func execRoutes(m *container.Manager) []route {
	h := execHandlers{m}
	return []route{
		{"POST", "/containers/{id:*}/exec", h.create},
		{"POST", "/exec/{id}/start", h.start},
		{"POST", "/exec/{id}/resize", h.resize},
		{"GET", "/exec/{id}/json", h.inspect},
	}
}

type execHandlers struct{ m *container.Manager }

func (h execHandlers) create(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	var req containertypes.ExecCreateRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if lessVersion(requestVersion(r), "1.42") {
		req.ConsoleSize = nil
	}
	id, err := h.m.ExecCreate(vars["id"], req)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, containertypes.ExecCreateResponse{ID: id})
}

func (h execHandlers) start(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	var req containertypes.ExecStartRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if err := h.m.ExecStartable(vars["id"]); err != nil {
		return err
	}
	if !req.Tty || lessVersion(requestVersion(r), "1.42") { // as in Docker it is passed over
		req.ConsoleSize = nil
	}
	o := container.ExecStartOptions{Detach: req.Detach, Tty: req.Tty, ConsoleSize: req.ConsoleSize}
	err := h.m.ExecStart(r.Context(), vars["id"], o, func() (container.Stream, error) {
		return opened(hijack(w, r, hijackType(r, req.Tty)))
	})
	if err == nil && req.Detach {
		w.WriteHeader(http.StatusOK)
	}
	return err
}

func (h execHandlers) resize(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	rows, cols, err := sizeValue(r)
	if err != nil {
		return err
	}
	if err := h.m.ExecResize(r.Context(), vars["id"], rows, cols); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h execHandlers) inspect(w http.ResponseWriter, _ *http.Request, vars map[string]string) error {
	x, err := h.m.ExecInspect(vars["id"])
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, x)
}
