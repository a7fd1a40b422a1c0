package server

import (
	"cmp"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types"

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
		return opened(hijack(w, r, hijackType(r, tty)))
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
	jsonType, err := jsonLogType(r)
	if err != nil {
		return err
	}
	if jsonType != "" {
		o.JSON = func(w io.Writer) func(any) error { return jsonStreamEncoder(w, jsonType) }
	}
	log, err := h.m.Logs(vars["id"], o)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", cmp.Or(jsonType, streamType(r, log.Tty)))
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	_ = rc.Flush()                          // a client that follows wants the head at once
	_ = log.Write(r.Context(), w, rc.Flush) // the head is sent; what is left is to end early
	return nil
}

func logOptions(r *http.Request) (o container.LogOptions, err error) {
	q := r.URL.Query()
	o = container.LogOptions{
		Stdout: boolValue(r, "stdout"), Stderr: boolValue(r, "stderr"), Follow: boolValue(r, "follow"),
		Timestamps: boolValue(r, "timestamps"), Details: boolValue(r, "details"), Tail: logfile.All,
	}
	if !o.Stdout && !o.Stderr {
		return o, errdefs.ErrInvalidArgument.WithMessage("must specify at least one of 'stdout' or 'stderr'")
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

// jsonLogType is the media type of a log as a stream of objects, "" when it is wanted as text. There is such a form
// since API 1.54.
func jsonLogType(r *http.Request) (string, error) {
	if lessVersion(requestVersion(r), "1.54") {
		return "", nil
	}
	asked := acceptedType(r.Header.Values("Accept"), jsonStreamTypes)
	switch format := r.URL.Query().Get("format"); format {
	case "json":
		return cmp.Or(asked, types.MediaTypeNDJSON), nil
	case "":
		return asked, nil
	}
	return "", errdefs.ErrInvalidArgument.WithMessage("unsupported log format")
}
