package image

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
)

// TestPullAll: all tags of a repository, which the registry lists in pages to those who log in.
func TestPullAll(t *testing.T) {
	s := openTest(t, t.TempDir(), nil)
	reg := newTestRegistry(t)
	var want []string
	for i := range 3 {
		reg.push(t, fmt.Sprintf("team/app:v%d", i), testImage(t, "amd64", []file{{name: "own", content: fmt.Sprint(i)}}))
		want = append(want, fmt.Sprintf("%s/team/app:v%d", reg.host, i))
	}
	reg.push(t, "other:1", testImage(t, "amd64", []file{{name: "other"}}))
	away := ""
	reg.setTamper(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if u, p, _ := r.BasicAuth(); u != "me" || p != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		last := r.URL.Query().Get("last")
		switch {
		case r.URL.Path != "/v2/team/app/tags/list":
			next.ServeHTTP(w, r)
		case last == "":
			w.Header().Set("Link", "<"+away+`/v2/team/app/tags/list?last=v1&n=2>; rel="next"`)
			fmt.Fprint(w, `{"name":"team/app","tags":["v1","v0"]}`)
		default:
			fmt.Fprint(w, `{"name":"team/app","tags":["v2"]}`)
		}
	})
	login := registry.AuthConfig{Username: "me", Password: "secret"}
	if err := s.PullAll(t.Context(), PullOptions{Name: reg.host + "/team/app", Auth: login}); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context(), ListOptions{})
	var tags []string
	for _, i := range list {
		tags = append(tags, i.RepoTags...)
	}
	if slices.Sort(tags); err != nil || !slices.Equal(tags, want) {
		t.Errorf("pulled %q, %v", tags, err)
	}
	if err := s.PullAll(t.Context(), PullOptions{Name: reg.host + "/team/app"}); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "pull access denied") {
		t.Errorf("without a login: %v", err)
	}
	if err := s.PullAll(t.Context(), PullOptions{Name: reg.host + "/nosuch", Auth: login}); !errdefs.IsNotFound(err) {
		t.Errorf("a repository that is not there: %v", err)
	}
	away = "http://storage.example.com"
	if err := s.PullAll(t.Context(), PullOptions{Name: reg.host + "/team/app", Auth: login}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a next page elsewhere: %v", err)
	}
}
