package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/containerd/errdefs"
	containertypes "github.com/moby/moby/api/types/container"

	"naru/guest/engine/container"
)

// containerRoutes serves /containers/….
func containerRoutes(m *container.Manager) []route {
	h := containerHandlers{m}
	return []route{
		{"POST", "/containers/create", h.create},
		{"POST", "/containers/prune", h.prune},
		{"GET", "/containers/json", h.list},
		{"GET", "/containers/{id:*}/json", h.inspect},
		{"POST", "/containers/{id:*}/start", h.start},
		{"POST", "/containers/{id:*}/stop", h.stop},
		{"POST", "/containers/{id:*}/restart", h.restart},
		{"POST", "/containers/{id:*}/kill", h.kill},
		{"POST", "/containers/{id:*}/pause", h.pause},
		{"POST", "/containers/{id:*}/unpause", h.unpause},
		{"POST", "/containers/{id:*}/update", h.update},
		{"POST", "/containers/{id:*}/wait", h.wait},
		{"POST", "/containers/{id:*}/rename", h.rename},
		{"POST", "/containers/{id:*}/resize", h.resize},
		{"POST", "/containers/{id:*}/attach", h.attach},
		{"GET", "/containers/{id:*}/attach/ws", h.attachWebSocket},
		{"GET", "/containers/{id:*}/logs", h.logs},
		{"GET", "/containers/{id:*}/top", h.top},
		{"GET", "/containers/{id:*}/stats", h.stats},
		{"DELETE", "/containers/{id:*}", h.remove},
	}
}

type containerHandlers struct{ m *container.Manager }

func (h containerHandlers) prune(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	filters, err := filtersValue(r)
	if err != nil {
		return err
	}
	report, err := h.m.Prune(r.Context(), filters)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, report)
}

func (h containerHandlers) list(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	filters, err := filtersValue(r)
	if err != nil {
		return err
	}
	o := container.ListOptions{All: boolValue(r, "all"), Size: boolValue(r, "size"), Filters: filters}
	if text := r.URL.Query().Get("limit"); text != "" {
		if o.Limit, err = strconv.Atoi(text); err != nil {
			return errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
	}
	list, err := h.m.List(r.Context(), o)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, olderList(list, requestVersion(r)))
}

func (h containerHandlers) inspect(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	c, err := h.m.Inspect(r.Context(), vars["id"], boolValue(r, "size"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, olderInspect(c, h.m.WishedMAC(c.ID), requestVersion(r)))
}

func (h containerHandlers) start(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	if r.URL.Query().Get("checkpoint") != "" {
		return errdefs.ErrNotImplemented.WithMessage("naru does not serve checkpoints yet")
	}
	if err := h.m.Start(r.Context(), vars["id"]); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func stopOptions(r *http.Request) (o container.StopOptions, err error) {
	q := r.URL.Query()
	if !lessVersion(requestVersion(r), "1.42") {
		o.Signal = q.Get("signal")
	}
	if text := q.Get("t"); text != "" {
		t, err := strconv.Atoi(text)
		if err != nil {
			return o, errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
		o.Timeout = &t
	}
	return o, nil
}

func (h containerHandlers) stop(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	o, err := stopOptions(r)
	if err != nil {
		return err
	}
	if err := h.m.Stop(r.Context(), vars["id"], o); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h containerHandlers) restart(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	o, err := stopOptions(r)
	if err != nil {
		return err
	}
	if err := h.m.Restart(r.Context(), vars["id"], o); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h containerHandlers) kill(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	if err := h.m.Kill(r.Context(), vars["id"], r.URL.Query().Get("signal")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h containerHandlers) pause(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	if err := h.m.Pause(r.Context(), vars["id"]); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h containerHandlers) unpause(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	if err := h.m.Unpause(r.Context(), vars["id"]); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h containerHandlers) update(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	var change containertypes.UpdateConfig
	if err := readJSON(w, r, &change); err != nil {
		return err
	}
	if lessVersion(requestVersion(r), "1.40") {
		change.PidsLimit = nil
	}
	if lessVersion(requestVersion(r), "1.55") { // before, it took them and did nothing
		change.BlkioWeightDevice, change.BlkioDeviceReadBps, change.BlkioDeviceWriteBps = nil, nil, nil
		change.BlkioDeviceReadIOps, change.BlkioDeviceWriteIOps = nil, nil
	}
	warnings, err := h.m.Update(r.Context(), vars["id"], change)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, containertypes.UpdateResponse{Warnings: warnings})
}

// wait sends its head at once, so that a client knows that nothing can escape it from now on.
func (h containerHandlers) wait(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	condition := containertypes.WaitCondition(r.URL.Query().Get("condition"))
	if lessVersion(requestVersion(r), "1.30") {
		condition = "" // there was none, and the head came with the body
	}
	told, stop, err := h.m.Wait(vars["id"], condition)
	if err != nil {
		return err
	}
	defer stop()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	if !lessVersion(requestVersion(r), "1.30") {
		_ = http.NewResponseController(w).Flush() // a client that has gone ends the context
	}
	select {
	case result := <-told:
		_ = json.NewEncoder(w).Encode(result)
	case <-r.Context().Done():
	}
	return nil
}

func (h containerHandlers) rename(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	if err := h.m.Rename(vars["id"], r.URL.Query().Get("name")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// sizeValue reads a terminal's size.
func sizeValue(r *http.Request) (rows, cols uint16, err error) {
	for name, into := range map[string]*uint16{"h": &rows, "w": &cols} {
		n, err := strconv.ParseUint(r.URL.Query().Get(name), 10, 16)
		if err != nil {
			return 0, 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid resize %s: %q", name, r.URL.Query().Get(name)))
		}
		*into = uint16(n)
	}
	return rows, cols, nil
}

func (h containerHandlers) resize(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	rows, cols, err := sizeValue(r)
	if err != nil {
		return err
	}
	if err := h.m.Resize(r.Context(), vars["id"], rows, cols); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h containerHandlers) remove(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	o := container.DeleteOptions{Force: boolValue(r, "force"), Volumes: boolValue(r, "v"), Link: boolValue(r, "link")}
	if err := h.m.Delete(r.Context(), vars["id"], o); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
