// Package server is the Docker Engine API: HTTP to engine calls, nothing else.
//
// Each file holds the handlers of one part of the API and a function that returns their routes. A handler returns
// an error instead of writing one: its errdefs class becomes the status, its text the message.
package server

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"path"
	"regexp"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errhttp"
	"github.com/moby/moby/api/types/common"
)

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

var patternVar = regexp.MustCompile(`\{(\w+)(:\*)?\}`)

// newRouter takes tables of routes; what they leave out of Docker's API answers that it is not served.
func newRouter(log *slog.Logger, tables ...[]route) *router {
	rt := &router{log: log}
	for _, table := range append(tables, unservedRoutes()) {
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

// ServeHTTP does as Docker's router does: a path that is not clean is redirected, a path with a method that nobody serves is
// not found, and OPTIONS of any path succeeds.
func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if clean := cleanPath(r.URL.Path); clean != r.URL.Path {
		u := *r.URL
		u.Path, u.RawPath = clean, ""
		w.Header().Set("Location", u.String())
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	version, path := splitVersion(r.URL.Path)
	handle, vars := rt.find(r.Method, path)
	if handle == nil {
		writeError(w, errdefs.ErrNotFound.WithMessage("page not found"))
		return
	}
	setHeaders(w)
	if err := checkVersion(version); err != nil {
		if lessVersion(version, MinAPIVersion) { // in plain text: clients that old know no JSON errors
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeError(w, err)
		return
	}
	if err := handle(w, r, vars); err != nil {
		rt.log.Debug("request", "method", r.Method, "path", r.URL.Path, "error", err)
		writeError(w, err)
	}
}

func setHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Api-Version", MaxAPIVersion)
	h.Set("Docker-Experimental", "false")
	h.Set("Ostype", "linux")
	h.Set("Server", "naru (linux)")
}

// find returns the handler of the first route that matches, or nil.
func (rt *router) find(method, path string) (handlerFunc, map[string]string) {
	if method == http.MethodOptions {
		return func(http.ResponseWriter, *http.Request, map[string]string) error { return nil }, nil
	}
	for _, c := range rt.routes {
		if c.method != method {
			continue
		}
		if m := c.re.FindStringSubmatch(path); m != nil {
			vars := map[string]string{}
			for i, n := range c.re.SubexpNames()[1:] {
				vars[n] = m[i+1]
			}
			return c.handle, vars
		}
	}
	return nil, nil
}

// cleanPath is path.Clean that keeps a slash at the end.
func cleanPath(p string) string {
	if p == "" || p[0] != '/' {
		p = "/" + p
	}
	clean := path.Clean(p)
	if p[len(p)-1] == '/' && clean != "/" {
		clean += "/"
	}
	return clean
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
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client has gone; there is nobody left to tell
	return nil
}
