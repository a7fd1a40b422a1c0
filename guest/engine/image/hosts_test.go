package image

import (
	"net/http"
	"runtime"
	"testing"

	"github.com/moby/moby/api/types/registry"
)

// TestMirror: Docker Hub's images come from the mirror when it has them, and the user's password does not go there.
func TestMirror(t *testing.T) {
	reg := newTestRegistry(t)
	img := testImage(t, runtime.GOARCH, []file{{name: "a", content: "mirrored"}})
	reg.push(t, "library/mirrored:1", img)
	reg.setTamper(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("the mirror got credentials: %s %s", r.Method, r.URL.Path)
		}
		next.ServeHTTP(w, r)
	})
	s := openTest(t, t.TempDir(), nil)
	s.o.Registries.Mirrors = []string{reg.URL}
	got, err := s.Pull(t.Context(), PullOptions{Name: "mirrored:1", Auth: registry.AuthConfig{Username: "me", Password: "secret"}})
	if err != nil || got.Name != "mirrored:1" || read(t, s, got.ID, "a") != "mirrored" {
		t.Errorf("pulled %+v, %v", got, err)
	}
}

func TestInsecure(t *testing.T) {
	r := Registries{Insecure: []string{"r.example.com:5000", "plain.example.com", "10.0.0.0/8"}}
	for host, want := range map[string]bool{
		"r.example.com:5000": true, "r.example.com": false, "plain.example.com:80": true, "10.1.2.3:5000": true,
		"192.0.2.1": false, "127.0.0.1:5000": true, "localhost": true, "[::1]:5000": true,
	} {
		if got := r.insecure(t.Context(), host); got != want {
			t.Errorf("%s is insecure: %v", host, got)
		}
	}
}
