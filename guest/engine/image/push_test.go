package image

import (
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
)

func TestPush(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	reg, other := newTestRegistry(t), newTestRegistry(t)
	img := testImage(t, runtime.GOARCH, []file{{name: "a", content: "one"}}, []file{{name: "b", content: "two"}})
	got, err := s.Pull(t.Context(), PullOptions{Name: reg.push(t, "app:1", img).String()})
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"v1", "v2"} {
		if err := s.Tag(t.Context(), got.ID, other.host+"/team/app", tag); err != nil {
			t.Fatal(err)
		}
	}
	var words statuses
	pushed, err := s.Push(t.Context(), PushOptions{Name: other.host + "/team/app:v1", Progress: words.add})
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := img.Digest()
	if len(pushed) != 1 || pushed[0].Tag != "v1" || pushed[0].Digest != digest.String() {
		t.Errorf("pushed %+v, want the digest %s", pushed, digest)
	}
	for _, w := range []string{"The push refers to repository [" + other.host + "/team/app]", "Preparing", "Pushed", "v1: digest: " + digest.String() + " size: "} {
		if !words.has(w) {
			t.Errorf("no %q in %q", w, words.all)
		}
	}

	// All tags of the repository: the layers are there already.
	words = statuses{}
	if pushed, err = s.Push(t.Context(), PushOptions{Name: other.host + "/team/app", Progress: words.add}); err != nil || len(pushed) != 2 {
		t.Errorf("push of all tags: %+v, %v", pushed, err)
	}
	if !words.has("Layer already exists") || words.has("Pushed") {
		t.Errorf("the second push said %q", words.all)
	}

	// What was pushed is what another store pulls.
	second := openTest(t, t.TempDir(), nil)
	again, err := second.Pull(t.Context(), PullOptions{Name: other.host + "/team/app:v2"})
	if err != nil || again.ID != got.ID || read(t, second, again.ID, "b") != "two" {
		t.Errorf("pulled again: %+v, %v", again, err)
	}
}

// TestPushImported: an image that was never pulled has everything it needs to be pushed.
func TestPushImported(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	reg := newTestRegistry(t)
	name := reg.host + "/imported:1"
	img, err := s.Import(t.Context(), strings.NewReader(string(tarOf(t, file{name: "x", content: "y"}))), ImportOptions{Ref: name})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(t.Context(), PushOptions{Name: name}); err != nil {
		t.Fatal(err)
	}
	second := openTest(t, t.TempDir(), nil)
	if again, err := second.Pull(t.Context(), PullOptions{Name: name}); err != nil || again.ID != img.ID {
		t.Errorf("pulled again: %+v, %v", again, err)
	}
}

func TestPushRefusals(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	reg := newTestRegistry(t)
	name := reg.host + "/app:1"
	if _, err := s.Import(t.Context(), strings.NewReader(string(tarOf(t, file{name: "x", content: "y"}))), ImportOptions{Ref: name}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, want string }{
		{"UPPER:1", "invalid reference format: repository name (library/UPPER) must be lowercase"},
		{reg.host + "/nosuch:1", "tag does not exist: " + reg.host + "/nosuch:1"},
		{reg.host + "/nosuch", "An image does not exist locally with the tag: " + reg.host + "/nosuch"},
	} {
		if _, err := s.Push(t.Context(), PushOptions{Name: c.name}); err == nil || err.Error() != c.want {
			t.Errorf("push %s: %v, want %q", c.name, err, c.want)
		}
	}

	// Credentials: refused, and the registry's own after the right ones.
	var asked atomic.Int64
	reg.setTamper(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if u, p, _ := r.BasicAuth(); u != "me" || p != "secret" {
			asked.Add(1)
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
	_, err := s.Push(t.Context(), PushOptions{Name: name, Auth: registry.AuthConfig{Username: "me", Password: "wrong"}})
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "push access denied for "+reg.host+"/app") || asked.Load() == 0 {
		t.Errorf("wrong password: %v", err)
	}
	if _, err = s.Push(t.Context(), PushOptions{Name: name, Auth: registry.AuthConfig{Username: "me", Password: "secret"}}); err != nil {
		t.Errorf("right password: %v", err)
	}

	// A registry that fails in the middle: an error, and a later push ends well.
	reg.setTamper(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r)
	})
	if err := s.Tag(t.Context(), name, reg.host+"/second", "1"); err != nil {
		t.Fatal(err)
	}
	if _, err = s.Push(t.Context(), PushOptions{Name: reg.host + "/second:1"}); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("failing registry: %v", err)
	}
	reg.setTamper(nil)
	if _, err = s.Push(t.Context(), PushOptions{Name: reg.host + "/second:1"}); err != nil {
		t.Errorf("after the failure: %v", err)
	}
}
