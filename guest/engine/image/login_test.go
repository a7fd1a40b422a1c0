package image

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
)

// guarded is a registry that lets in who knows the password: by Basic, or with a token of its own token server.
type guarded struct {
	*httptest.Server
	scheme string // "Basic" or "Bearer"
	asked  string // the token server's last request
}

const password = "open sesame"

func newGuarded(t *testing.T, scheme string) *guarded {
	t.Helper()
	g := &guarded{scheme: scheme}
	g.Server = httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(g.Close)
	return g
}

func (g *guarded) serve(w http.ResponseWriter, r *http.Request) {
	user, pass, _ := r.BasicAuth()
	known := user == "ali" && pass == password
	switch {
	case r.URL.Path == "/token":
		_ = r.ParseForm()
		g.asked = r.Method + " " + r.Form.Encode()
		if !known && r.Form.Get("refresh_token") != "id1" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"details":"incorrect username or password"}`))
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"token": "t1", "access_token": "t1", "refresh_token": "id1"})
	case g.scheme == "Basic" && known, g.scheme == "Bearer" && r.Header.Get("Authorization") == "Bearer t1":
	default:
		challenge := `Basic realm="here"`
		if g.scheme == "Bearer" {
			challenge = `Bearer realm="` + g.URL + `/token",service="reg"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func TestLogin(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	basic, bearer, open := newGuarded(t, "Basic"), newGuarded(t, "Bearer"), newTestRegistry(t)
	gone := newGuarded(t, "Basic")
	gone.Close()
	for name, c := range map[string]struct {
		config registry.AuthConfig
		token  string
		err    string
		class  func(error) bool
	}{
		"basic":              {registry.AuthConfig{Username: "ali", Password: password, ServerAddress: basic.URL}, "", "", nil},
		"without a scheme":   {registry.AuthConfig{Username: "ali", Password: password, ServerAddress: strings.TrimPrefix(basic.URL, "http://")}, "", "", nil},
		"with a path":        {registry.AuthConfig{Username: "ali", Password: password, ServerAddress: basic.URL + "/v1/"}, "", "", nil},
		"basic, wrong":       {registry.AuthConfig{Username: "ali", Password: "x", ServerAddress: basic.URL}, "", "login attempt to " + basic.URL + "/v2/ failed with status: 401 Unauthorized", func(err error) bool { return !errdefs.IsUnauthorized(err) }},
		"token":              {registry.AuthConfig{Username: "ali", Password: password, ServerAddress: bearer.URL}, "id1", "", nil},
		"token, wrong":       {registry.AuthConfig{Username: "ali", Password: "x", ServerAddress: bearer.URL}, "", `Get "` + bearer.URL + `/v2/": unauthorized: incorrect username or password`, errdefs.IsUnauthorized},
		"identity token":     {registry.AuthConfig{IdentityToken: "id1", ServerAddress: bearer.URL}, "id1", "", nil},
		"bad identity token": {registry.AuthConfig{IdentityToken: "id2", ServerAddress: bearer.URL}, "", "unauthorized: incorrect username or password", errdefs.IsUnauthorized},
		"open to all":        {registry.AuthConfig{Username: "x", ServerAddress: open.URL}, "", "", nil},
		"not there":          {registry.AuthConfig{ServerAddress: gone.URL}, "", "connection refused", nil},
		"no address":         {registry.AuthConfig{ServerAddress: "%zz"}, "", "unable to parse server address: ", errdefs.IsInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := s.Login(t.Context(), c.config)
			switch {
			case c.err == "" && (err != nil || token != c.token):
				t.Errorf("%q, %v", token, err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("error %v, want %s", err, c.err)
			case c.class != nil && !c.class(err):
				t.Errorf("class of %v", err)
			}
		})
	}
	if _, err := s.Login(t.Context(), registry.AuthConfig{Username: "ali", Password: password, ServerAddress: bearer.URL}); err != nil {
		t.Fatal(err)
	}
	if bearer.asked != "GET account=ali&client_id=docker&offline_token=true&service=reg" {
		t.Errorf("the token server was asked %s", bearer.asked)
	}
}
