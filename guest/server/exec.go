package server

import (
	"net/http"

	"github.com/containerd/errdefs"
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
	tty, err := h.m.ExecTty(vars["id"])
	if err != nil {
		return err
	}
	if req.ConsoleSize != nil && !tty {
		return errdefs.ErrInvalidArgument.WithMessage("console size is only supported when TTY is enabled")
	}
	o := container.ExecStartOptions{Detach: req.Detach, ConsoleSize: req.ConsoleSize}
	err = h.m.ExecStart(r.Context(), vars["id"], o, func() (container.Stream, error) {
		return opened(hijack(w, r, streamType(r, tty)))
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
