package server

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/containerd/errdefs"

	"naru/guest/engine/container"
	"naru/guest/logfile"
)

func (h containerHandlers) attach(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	tty, err := h.m.Tty(vars["id"])
	if err != nil {
		return err
	}
	o := container.AttachOptions{
		Stdin: boolValue(r, "stdin"), Stdout: boolValue(r, "stdout"), Stderr: boolValue(r, "stderr"),
		Stream: boolValue(r, "stream"), Logs: boolValue(r, "logs"), DetachKeys: r.URL.Query().Get("detachKeys"),
	}
	return h.m.Attach(r.Context(), vars["id"], o, func() (container.Stream, error) {
		return opened(hijack(w, r, streamType(r, tty)))
	})
}

// opened keeps a nil stream from becoming a container.Stream that is not nil.
func opened(s *stream, err error) (container.Stream, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (h containerHandlers) logs(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	o, err := logOptions(r)
	if err != nil {
		return err
	}
	log, err := h.m.Logs(vars["id"], o)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", streamType(r, log.Tty))
	w.WriteHeader(http.StatusOK)
	out := io.Writer(w)
	if o.Follow {
		_ = http.NewResponseController(w).Flush()
		out = newFlusher(w)
	}
	_ = log.Write(r.Context(), out) // the head is sent; what is left is to end early
	return nil
}

func logOptions(r *http.Request) (o container.LogOptions, err error) {
	q := r.URL.Query()
	o = container.LogOptions{
		Stdout: boolValue(r, "stdout"), Stderr: boolValue(r, "stderr"), Follow: boolValue(r, "follow"),
		Timestamps: boolValue(r, "timestamps"), Tail: logfile.All,
	}
	if text := q.Get("tail"); text != "" && text != "all" {
		// As Docker: what is no number means all.
		if n, err := strconv.Atoi(text); err == nil {
			o.Tail = n
		}
	}
	now := time.Now()
	for name, into := range map[string]*time.Time{"since": &o.Since, "until": &o.Until} {
		if *into, err = container.ParseTime(q.Get(name), now); err != nil {
			return o, errdefs.ErrInvalidArgument.WithMessage("invalid value for \"" + name + "\": " + err.Error())
		}
	}
	return o, nil
}
