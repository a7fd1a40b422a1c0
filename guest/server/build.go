package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	controlapi "github.com/moby/buildkit/api/services/control"
	buildtypes "github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/registry"
	"golang.org/x/net/http2"
	"google.golang.org/protobuf/proto"

	"naru/guest/engine/build"
)

// buildRoutes serves the builder.
func buildRoutes(b *build.Builder) []route {
	h := buildHandlers{b}
	return []route{
		{"POST", "/build", h.build},
		{"POST", "/build/prune", h.prune},
		{"POST", "/build/cancel", h.cancel},
		{"POST", "/session", h.session},
		{"POST", "/grpc", h.grpc},
	}
}

type buildHandlers struct{ b *build.Builder }

// The two forms of progress that a client of POST /build can ask for: text as of old, or BuildKit's own.
const (
	versionText  = "1"
	versionTrace = "2"
)

func (h buildHandlers) build(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	req, err := buildRequest(r)
	if err != nil {
		return err
	}
	body := &buildBody{body: r.Body, conn: http.NewResponseController(w)}
	defer body.Close() // the builder may be reading still when it has failed elsewhere
	req.Body = body
	if id, ok := strings.CutPrefix(req.ID, "upload-request:"); ok {
		return h.b.Upload(r.Context(), id, body)
	}
	// The answer begins while the context is still being read.
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		return fmt.Errorf("answer a build: %w", err)
	}
	version := r.URL.Query().Get("version")
	if version == "" {
		version = versionText
	}
	out := newProgressWriter(w)
	var progress buildProgress
	switch version {
	case versionTrace:
		progress = traceProgress{out}
	case versionText:
		progress = newTextProgress(out, boolValue(r, "q"))
	default:
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid version %q", version))
	}
	id, err := h.b.Build(r.Context(), req, progress.status)
	progress.end(id, req.Tags, err)
	return out.end(err)
}

// buildProgress tells a client how a build goes.
type buildProgress interface {
	status(*controlapi.StatusResponse) error
	// end comes once, after the last status.
	end(imageID string, tags []string, err error)
}

// traceProgress passes BuildKit's own messages on, for clients that draw them themselves.
type traceProgress struct{ out *progressWriter }

func (p traceProgress) status(s *controlapi.StatusResponse) error {
	data, err := proto.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode progress: %w", err)
	}
	p.out.write(streamMessage{ID: "moby.buildkit.trace", Aux: data})
	return nil
}

func (p traceProgress) end(imageID string, _ []string, err error) {
	if err == nil && imageID != "" {
		p.out.write(streamMessage{ID: "moby.image.id", Aux: buildtypes.Result{ID: imageID}})
	}
}

// buildRequest reads the query and headers of POST /build.
func buildRequest(r *http.Request) (req build.Request, err error) {
	q := r.URL.Query()
	req = build.Request{
		ID: q.Get("buildid"), Session: q.Get("session"), Context: q.Get("remote"), Dockerfile: q.Get("dockerfile"),
		Target: q.Get("target"), Tags: q["t"], NoCache: boolValue(r, "nocache"), Pull: boolValue(r, "pull"),
		Platform: q.Get("platform"), Network: q.Get("networkmode"), ExtraHosts: q["extrahosts"], Auth: buildAuth(r.Header),
	}
	switch {
	case boolValue(r, "squash"):
		return req, errdefs.ErrInvalidArgument.WithMessage("squash is only supported with experimental mode")
	case len(q["securityopt"]) > 0:
		return req, errdefs.ErrInvalidArgument.WithMessage("security options are not supported on linux")
	}
	if text := q.Get("shmsize"); text != "" {
		if req.ShmSize, err = strconv.ParseInt(text, 10, 64); err != nil {
			return req, errdefs.ErrInvalidArgument.WithMessage("invalid shmsize: " + text)
		}
	}
	for name, into := range map[string]any{
		"buildargs": &req.Args, "labels": &req.Labels, "cachefrom": &req.CacheFrom, "ulimits": &req.Ulimits, "outputs": &req.Outputs,
	} {
		if text := q.Get(name); text != "" {
			if err := json.Unmarshal([]byte(text), into); err != nil {
				return req, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("error reading %s: %s", name, err))
			}
		}
	}
	return req, nil
}

// buildAuth reads the credentials of all registries that older clients send. What cannot be read counts as none.
func buildAuth(h http.Header) map[string]registry.AuthConfig {
	auth := map[string]registry.AuthConfig{}
	in := base64.NewDecoder(base64.URLEncoding, strings.NewReader(h.Get("X-Registry-Config")))
	if err := json.NewDecoder(in).Decode(&auth); err != nil {
		return nil
	}
	return auth
}

func (h buildHandlers) cancel(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	id := r.URL.Query().Get("id")
	if id == "" {
		return errdefs.ErrInvalidArgument.WithMessage("build ID not provided")
	}
	h.b.Cancel(id)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h buildHandlers) prune(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	filters, err := filtersValue(r)
	if err != nil {
		return err
	}
	o := build.PruneOptions{All: boolValue(r, "all"), Filters: filters}
	for name, into := range map[string]*int64{
		"reserved-space": &o.ReservedSpace, "keep-storage": &o.ReservedSpace, "max-used-space": &o.MaxUsedSpace, "min-free-space": &o.MinFreeSpace,
	} {
		if text := r.URL.Query().Get(name); text != "" {
			if *into, err = strconv.ParseInt(text, 10, 64); err != nil {
				return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is in bytes and expects an integer, got %s", name, text))
			}
		}
	}
	ids, bytes, err := h.b.Prune(r.Context(), o)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, buildtypes.CachePruneReport{CachesDeleted: ids, SpaceReclaimed: uint64(bytes)})
}

func (h buildHandlers) session(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	if err := h.b.Sessions().HandleHTTPRequest(r.Context(), w, r); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return nil
}

// grpc turns the connection into HTTP/2, on which buildx speaks BuildKit's own API.
func (h buildHandlers) grpc(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	if up := r.Header.Get("Upgrade"); up != "h2c" {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("protocol %q not supported: upgrade to h2c", up))
	}
	server, err := h.b.GRPC(r.Context())
	if err != nil {
		return err
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("take over connection: %w", err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"); err != nil {
		return nil // the client has gone
	}
	quiet := &http.Server{ErrorLog: log.New(io.Discard, "", 0)} // a client that goes away is no news
	(&http2.Server{}).ServeConn(conn, &http2.ServeConnOpts{Handler: server, Context: r.Context(), BaseConfig: quiet})
	return nil
}

// withGRPC serves BuildKit's own API to clients that speak gRPC on the engine's socket right away.
func withGRPC(b *build.Builder, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			next.ServeHTTP(w, r)
			return
		}
		server, err := b.GRPC(r.Context())
		if err != nil {
			writeError(w, err)
			return
		}
		server.ServeHTTP(w, r)
	})
}
