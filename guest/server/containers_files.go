package server

import (
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	containertypes "github.com/moby/moby/api/types/container"

	"naru/guest/engine/container"
	"naru/guest/engine/image"
)

// fileRoutes serves what reads and writes a container's files.
func fileRoutes(m *container.Manager) []route {
	h := fileHandlers{m}
	return []route{
		{"HEAD", "/containers/{id:*}/archive", h.stat},
		{"GET", "/containers/{id:*}/archive", h.copyOut},
		{"PUT", "/containers/{id:*}/archive", h.copyIn},
		{"GET", "/containers/{id:*}/changes", h.changes},
		{"GET", "/containers/{id:*}/export", h.export},
		{"POST", "/commit", h.commit},
	}
}

type fileHandlers struct{ m *container.Manager }

// pathStatHeader carries what is known of a path, as base64 of JSON.
const pathStatHeader = "X-Docker-Container-Path-Stat"

func setPathStat(w http.ResponseWriter, st *containertypes.PathStat) error {
	data, err := json.Marshal(st)
	if err != nil {
		return err
	}
	w.Header().Set(pathStatHeader, base64.StdEncoding.EncodeToString(data))
	return nil
}

func pathValue(r *http.Request) (string, error) {
	path := r.URL.Query().Get("path")
	if path == "" {
		return "", errdefs.ErrInvalidArgument.WithMessage("bad parameter: path cannot be empty")
	}
	return path, nil
}

func (h fileHandlers) stat(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	path, err := pathValue(r)
	if err != nil {
		return err
	}
	st, err := h.m.StatPath(r.Context(), vars["id"], path)
	if err != nil {
		return err
	}
	return setPathStat(w, st)
}

func (h fileHandlers) copyOut(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	path, err := pathValue(r)
	if err != nil {
		return err
	}
	tree, err := h.m.OpenTree(r.Context(), vars["id"], path)
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := setPathStat(w, tree.Stat); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-tar")
	out, end := encoded(w, r)
	err = tree.WriteArchive(r.Context(), out)
	if err == nil {
		err = end()
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the only way left to tell that the archive is not whole
	}
	return nil
}

func (h fileHandlers) copyIn(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	path, err := pathValue(r)
	if err != nil {
		return err
	}
	return h.m.Extract(r.Context(), vars["id"], container.ExtractOptions{
		Path: path, NoOverwriteDirNonDir: boolValue(r, "noOverwriteDirNonDir"), CopyUIDGID: boolValue(r, "copyUIDGID"),
	}, r.Body)
}

func (h fileHandlers) changes(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	changes, err := h.m.Changes(r.Context(), vars["id"])
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, changes)
}

func (h fileHandlers) export(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	e, err := h.m.OpenExport(r.Context(), vars["id"])
	if err != nil {
		return err
	}
	defer e.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := e.WriteArchive(r.Context(), w); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// commitRequest is Docker's: a config, or nothing.
type commitRequest struct{ *containertypes.Config }

func (h fileHandlers) commit(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	var req commitRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	q := r.URL.Query()
	name, err := image.TagName(q.Get("repo"), q.Get("tag"))
	if err != nil {
		return err
	}
	id, err := h.m.Commit(r.Context(), q.Get("container"), container.CommitOptions{
		Name: name, Author: q.Get("author"), Comment: q.Get("comment"), Changes: q["changes"],
		Config: req.Config, NoPause: !boolValueOr(r, "pause", true),
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, containertypes.CommitResponse{ID: id})
}

// encoded compresses the answer for a client that asks for it, as Docker does for archives. end flushes what is held back.
func encoded(w http.ResponseWriter, r *http.Request) (out io.Writer, end func() error) {
	switch acceptedEncoding(r.Header.Get("Accept-Encoding")) {
	case "gzip":
		w.Header().Set("Content-Encoding", "gzip")
		z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is right
		return z, z.Close
	case "deflate":
		w.Header().Set("Content-Encoding", "deflate")
		z, _ := flate.NewWriter(w, flate.BestSpeed)
		return z, z.Close
	}
	return w, func() error { return nil }
}

// acceptedEncoding chooses gzip, deflate, or "" from an Accept-Encoding; what has the weight 0 is not wanted.
func acceptedEncoding(header string) string {
	accepted := map[string]bool{}
	for _, part := range strings.Split(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := strings.ReplaceAll(weight, " ", "")
		accepted[strings.ToLower(strings.TrimSpace(name))] = q != "q=0" && !strings.HasPrefix(q, "q=0.000")
	}
	for _, name := range []string{"gzip", "deflate"} {
		if accepted[name] {
			return name
		}
	}
	return ""
}
