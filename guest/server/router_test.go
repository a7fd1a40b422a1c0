package server

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestRouter(t *testing.T) {
	say := func(text string) handlerFunc {
		return func(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
			_, err := io.WriteString(w, text+vars["id"]+vars["name"])
			return err
		}
	}
	rt := newRouter(slog.New(slog.DiscardHandler), []route{
		{"GET", "/containers/json", say("list")},
		{"GET", "/containers/{id}/json", say("inspect ")},
		{"GET", "/images/{name:*}/json", say("image ")},
		{"POST", "/containers/{id}/start", func(http.ResponseWriter, *http.Request, map[string]string) error {
			return errdefs.ErrNotModified.WithMessage("already started")
		}},
		{"DELETE", "/containers/{id}", func(http.ResponseWriter, *http.Request, map[string]string) error {
			return errdefs.ErrConflict.WithMessage("busy")
		}},
	})
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/containers/json", 200, "list"},
		{"GET", "/v1.24/containers/abc/json", 200, "inspect abc"},
		{"GET", "/v1.44/images/localhost:5000/a/b:1/json", 200, "image localhost:5000/a/b:1"},
		{"POST", "/containers/abc/start", 304, ""},
		{"DELETE", "/containers/abc", 409, `{"message":"busy"}`},
		{"GET", "/containers/abc/checkpoints", 501, "experimental"},
		{"GET", "/images/abc/attestations", 501, `{"message":"naru does not serve GET /images/abc/attestations yet"}`},
		{"POST", "/containers/json", 404, `{"message":"page not found"}`},
		{"HEAD", "/containers/json", 404, `{"message":"page not found"}`},
		{"GET", "/containers/json/", 404, `{"message":"page not found"}`},
		{"OPTIONS", "/containers/json", 200, ""},
		{"GET", "/nosuch", 404, `{"message":"page not found"}`},
		{"GET", "/v1/containers/json", 400, "client version 1 is too old"},
		{"GET", "/v1.41.3/containers/json", 200, "list"},
		{"GET", "//containers/./json", 301, ""},
		{"GET", "/v1.99/containers/json", 400, `{"message":"client version 1.99 is too new. Maximum supported API version is 1.56"}`},
		{"GET", "/v1.12/containers/json", 400, "too old"},
	} {
		w := httptest.NewRecorder()
		rt.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if body := strings.TrimSpace(w.Body.String()); w.Code != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, w.Code, body, c.status, c.body)
		}
		if found := w.Code != 404 && w.Code != 301; found != (w.Header().Get("Api-Version") == MaxAPIVersion) {
			t.Errorf("%s %s: Api-Version %q", c.method, c.path, w.Header().Get("Api-Version"))
		}
	}
}

func TestFiltersValue(t *testing.T) {
	for query, want := range map[string]string{
		`{"name":["a","b"]}`:   "[a b]",
		`{"name":{"a":true}}`:  "[a]",
		`{"name":{"a":false}}`: "[a]",
	} {
		r := httptest.NewRequest("GET", "/x", nil)
		r.URL.RawQuery = "filters=" + query
		got, err := filtersValue(r)
		if err != nil || strings.Join(got["name"], " ") != strings.Trim(want, "[]") {
			t.Errorf("%s: %v %v", query, got, err)
		}
	}
	r := httptest.NewRequest("GET", "/x?filters=nonsense", nil)
	if _, err := filtersValue(r); !errdefs.IsInvalidArgument(err) {
		t.Errorf("nonsense: %v", err)
	}
}
