// Package server is the Docker Engine API: HTTP to engine calls, nothing else.
//
// Each file holds the handlers of one part of the API and a function that returns their routes. A handler returns
// an error instead of writing one: its errdefs class becomes the status, its text the message.
package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errhttp"
	"github.com/moby/moby/api/types/common"
)

// MaxAPIVersion and MinAPIVersion bound the version prefix that is accepted: the newest of moby/api, and what
// Docker 1.12's clients speak.
const (
	MaxAPIVersion = "1.56"
	MinAPIVersion = "1.24"
)

// maxBody bounds a JSON request body, in bytes.
const maxBody = 8 << 20

// handlerFunc serves one request; vars are the {names} of the route's pattern.
type handlerFunc func(w http.ResponseWriter, r *http.Request, vars map[string]string) error

// route is one line of the table. In pattern `{name}` matches one path element and `{name:*}` any number of them,
// for image names.
type route struct {
	method, pattern string
	handle          handlerFunc
}

type compiledRoute struct {
	route
	re *regexp.Regexp
}

// router finds the route of a request. Immutable once made.
type router struct {
	routes []compiledRoute
	log    *slog.Logger
}

var (
	patternVar    = regexp.MustCompile(`\{(\w+)(:\*)?\}`)
	versionPrefix = regexp.MustCompile(`^/v(\d+)\.(\d+)(/.*)$`)
)

func newRouter(log *slog.Logger, tables ...[]route) *router {
	rt := &router{log: log}
	for _, table := range tables {
		for _, r := range table {
			re := patternVar.ReplaceAllStringFunc(r.pattern, func(v string) string {
				m := patternVar.FindStringSubmatch(v)
				if m[2] != "" {
					return `(?P<` + m[1] + `>.+)`
				}
				return `(?P<` + m[1] + `>[^/]+)`
			})
			rt.routes = append(rt.routes, compiledRoute{r, regexp.MustCompile("^" + re + "$")})
		}
	}
	return rt
}

func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", MaxAPIVersion)
	w.Header().Set("Ostype", "linux")
	w.Header().Set("Server", "naru (linux)")
	path := r.URL.Path
	if m := versionPrefix.FindStringSubmatch(path); m != nil {
		if err := checkVersion(m[1] + "." + m[2]); err != nil {
			writeError(w, err)
			return
		}
		path = m[3]
	}
	known := false
	for _, c := range rt.routes {
		m := c.re.FindStringSubmatch(path)
		if m == nil {
			continue
		}
		known = true
		if c.method != r.Method {
			continue
		}
		vars := map[string]string{}
		for i, n := range c.re.SubexpNames()[1:] {
			vars[n] = m[i+1]
		}
		if err := c.handle(w, r, vars); err != nil {
			rt.log.Debug("request", "method", r.Method, "path", r.URL.Path, "error", err)
			writeError(w, err)
		}
		return
	}
	if known || isDockerPath(path) {
		writeError(w, notServed(r.Method, path))
		return
	}
	writeError(w, errdefs.ErrNotFound.WithMessage("page not found"))
}

// dockerRoots are the first path elements of Docker's API: what we do not serve of them yet answers 501.
var dockerRoots = []string{
	"auth", "build", "commit", "configs", "containers", "distribution", "events", "exec", "grpc", "images", "info",
	"networks", "nodes", "plugins", "secrets", "services", "session", "swarm", "system", "tasks", "version", "volumes",
}

func notServed(method, path string) error {
	return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("naru does not serve %s %s yet", method, path))
}

func isDockerPath(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return slices.Contains(dockerRoots, first)
}

func checkVersion(v string) error {
	if lessVersion(MaxAPIVersion, v) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"client version %s is too new. Maximum supported API version is %s", v, MaxAPIVersion))
	}
	if lessVersion(v, MinAPIVersion) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version",
			v, MinAPIVersion))
	}
	return nil
}

// lessVersion compares two "1.N" versions.
func lessVersion(a, b string) bool {
	num := func(v string) (n [2]int) {
		major, minor, _ := strings.Cut(v, ".")
		n[0], _ = strconv.Atoi(major)
		n[1], _ = strconv.Atoi(minor)
		return n
	}
	x, y := num(a), num(b)
	return x[0] < y[0] || x[0] == y[0] && x[1] < y[1]
}

// requestVersion is the API version the request named, the newest when it named none.
func requestVersion(r *http.Request) string {
	if m := versionPrefix.FindStringSubmatch(r.URL.Path); m != nil {
		return m[1] + "." + m[2]
	}
	return MaxAPIVersion
}

func writeError(w http.ResponseWriter, err error) {
	status := errhttp.ToHTTP(err)
	if errdefs.IsAlreadyExists(err) {
		status = http.StatusConflict
	}
	if status == http.StatusNotModified {
		w.WriteHeader(status)
		return
	}
	_ = writeJSON(w, status, common.ErrorResponse{Message: err.Error()})
}

// writeJSON answers with v and the status. Its error is that of the connection and can be returned by a handler
// only before anything else was written.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone; there is nobody left to tell
	return nil
}

// readJSON decodes the request's body into v. An empty body leaves v as it is.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	err := dec.Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return errdefs.ErrInvalidArgument.WithMessage("invalid JSON: " + err.Error())
	}
	if dec.More() {
		return errdefs.ErrInvalidArgument.WithMessage("unexpected content after JSON")
	}
	return nil
}

// boolValue reads a query parameter as Docker does: absent, "", "0", "no", "false" and "none" are false.
func boolValue(r *http.Request, name string) bool {
	switch strings.ToLower(strings.TrimSpace(r.URL.Query().Get(name))) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

// boolValueOr is boolValue with a default for an absent parameter.
func boolValueOr(r *http.Request, name string, absent bool) bool {
	if !r.URL.Query().Has(name) {
		return absent
	}
	return boolValue(r, name)
}
