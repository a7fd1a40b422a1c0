package server

import (
	"encoding/json"
	"net/http"

	containertypes "github.com/moby/moby/api/types/container"

	"naru/guest/engine/container"
)

func (h containerHandlers) top(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	table, err := h.m.Top(r.Context(), vars["id"], r.URL.Query().Get("ps_args"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, table)
}

// stats sends one sample a line. As in Docker only a single one is announced as JSON.
func (h containerHandlers) stats(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	o := container.StatsOptions{Stream: boolValueOr(r, "stream", true)}
	if !lessVersion(requestVersion(r), "1.41") {
		o.OneShot = boolValue(r, "one-shot")
	}
	if _, err := h.m.ResolveID(vars["id"]); err != nil {
		return err
	}
	if !o.Stream {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(http.StatusOK)
	if o.Stream {
		_ = http.NewResponseController(w).Flush()
	}
	out := newFlusher(w)
	// The head is sent; what is left is to end early.
	_ = h.m.Stats(r.Context(), vars["id"], o, func(s *containertypes.StatsResponse) error {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		return enc.Encode(s)
	})
	return nil
}
