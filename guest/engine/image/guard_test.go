package image

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
)

// TestGuard: what a registry that is not of this machine may send us to.
func TestGuard(t *testing.T) {
	for _, c := range []struct {
		to, want string
	}{
		{"https://storage.example.com/x", ""},
		{"http://storage.example.com/x?signature=secret", "redirect to http://storage.example.com/x is refused: plain HTTP"},
		{"https://127.0.0.1/x", "an address of this machine"},
		{"https://localhost:2375/x", "an address of this machine"},
		{"https://[::1]/x", "an address of this machine"},
		{"https://[::ffff:127.0.0.1]/x", "an address of this machine"},
		{"https://169.254.169.254/latest", "loopback or link-local"},
		{"https://[fe80::1]/x", "loopback or link-local"},
		{"https://0.0.0.0/x", "loopback or link-local"},
		{"file:///etc/shadow", "unknown scheme"},
	} {
		u, err := url.Parse(c.to)
		if err != nil {
			t.Fatal(err)
		}
		g := guard{registry: "registry.example.com", secure: true}
		err = g.allowed(u)
		if (c.want == "") != (err == nil) || (err != nil && (!errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), c.want))) {
			t.Errorf("%s: %v, want %q", c.to, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells a signature: %v", err)
		}
	}
	// A name that stands for this machine is seen when it is dialled.
	l := httptest.NewServer(http.NotFoundHandler())
	defer l.Close()
	if _, err := dialForeign(t.Context(), "tcp", l.Listener.Addr().String()); err == nil || !strings.Contains(err.Error(), "link-local") {
		t.Errorf("dialled: %v", err)
	}
}

// TestRedirectedCredentials: an evil registry sends requests with credentials on to another server, which gets none.
func TestRedirectedCredentials(t *testing.T) {
	var mu sync.Mutex
	var leaked []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_ = r.ParseForm()
		if a := r.Header.Get("Authorization"); a != "" || strings.Contains(r.Form.Encode(), "secret") {
			leaked = append(leaked, r.Method+" "+r.URL.Path+" "+a)
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer other.Close()
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="evil"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer evil.Close()
	s := &Store{patience: patience{tries: 1, first: 1, stall: defaultPatience.stall}}
	host := strings.TrimPrefix(evil.URL, "http://")
	e, err := s.endpoint(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	for _, client := range []*http.Client{e.host.Client, e.tokens} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, evil.URL+"/v2/", nil)
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("me:secret")))
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
		}
		req, _ = http.NewRequestWithContext(t.Context(), http.MethodPost, evil.URL+"/token", strings.NewReader("refresh_token=secret"))
		req.Header.Set("Authorization", "Basic x")
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if resp, err := client.Do(req); err == nil {
			t.Error("a form with credentials was sent on")
			_ = resp.Body.Close()
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(leaked) != 0 {
		t.Errorf("credentials went to another server: %q", leaked)
	}
}

func TestRegistriesCheck(t *testing.T) {
	for _, c := range []struct {
		r    Registries
		want string
	}{
		{Registries{Mirrors: []string{"https://m.example.com", "http://10.0.0.1:5000/"}, Insecure: []string{"r.example.com:5000", "10.0.0.0/8"}}, ""},
		{Registries{Mirrors: []string{"m.example.com"}}, "is not a valid URI"},
		{Registries{Mirrors: []string{"ftp://m.example.com"}}, "unsupported scheme"},
		{Registries{Mirrors: []string{"https://me:pw@m.example.com"}}, "invalid mirror: path, query, fragment or user"},
		{Registries{Mirrors: []string{"https://m.example.com/v2"}}, "invalid mirror: path"},
		{Registries{Insecure: []string{"http://r.example.com"}}, "expected host[:port] or an address range"},
	} {
		if err := c.r.Check(); (c.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.r, err, c.want)
		}
	}
}
