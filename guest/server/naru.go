package server

import (
	"io"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"

	"naru/guest/api"
	"naru/guest/engine"
)

// publishUpgrade is the protocol that PublishPath upgrades to.
const publishUpgrade = "naru-publish"

// naruRoutes serves what Docker has no word for.
func naruRoutes(e *engine.Engine) []route {
	h := naruHandlers{e}
	return []route{
		{"GET", api.InfoPath, h.info},
		{"POST", api.PublishPath, h.publish},
		{"GET", api.VolumesPath + "/{name}/archive", h.exportVolume},
		{"PUT", api.VolumesPath + "/{name}/archive", h.importVolume},
	}
}

type naruHandlers struct{ e *engine.Engine }

func (h naruHandlers) info(w http.ResponseWriter, _ *http.Request, _ map[string]string) error {
	shares := h.e.Shares
	if shares == nil {
		shares = []api.Share{}
	}
	return writeJSON(w, http.StatusOK, api.Info{Version: h.e.Version, Mode: h.e.Mode, Root: h.e.Root, Shares: shares})
}

// publish gives the stream to the network: the host listens for us from now on.
func (h naruHandlers) publish(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	p := h.e.Networks.Publisher()
	if p == nil {
		return errdefs.ErrFailedPrecondition.WithMessage("this engine publishes its ports itself")
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), publishUpgrade) {
		return errdefs.ErrInvalidArgument.WithMessage("this endpoint needs the header Upgrade: " + publishUpgrade)
	}
	conn, err := hijack(w, r, "application/json")
	if err != nil {
		return err
	}
	if err := p.Serve(r.Context(), conn); err != nil {
		h.e.Log.Info("publish stream ended", "error", err)
	}
	return nil
}

// exportVolume writes a volume's files. What goes wrong after the first byte can only be told by breaking off.
func (h naruHandlers) exportVolume(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	begun := false
	err := h.e.Volumes.Export(r.Context(), vars["name"], r.URL.Query().Get("compression"), func() io.Writer {
		begun = true
		w.Header().Set("Content-Type", "application/x-tar")
		w.WriteHeader(http.StatusOK)
		return w
	})
	if err != nil && begun {
		h.e.Log.Warn("export volume", "volume", vars["name"], "error", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

func (h naruHandlers) importVolume(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	if err := h.e.Volumes.Import(r.Context(), vars["name"], r.Body, boolValue(r, "merge")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
