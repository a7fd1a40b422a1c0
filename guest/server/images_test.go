package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"naru/guest/engine/image"
)

// imageAPI serves the image routes on a store of its own.
type imageAPI struct {
	*httptest.Server
	t    *testing.T
	uses []image.Use
}

func newImageAPI(t *testing.T) *imageAPI {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: sudo go test ./guest/server")
	}
	a := &imageAPI{t: t}
	s, err := image.Open(t.Context(), image.Options{Root: t.TempDir(), InUse: func(string) []image.Use { return a.uses }})
	if err != nil {
		t.Fatal(err)
	}
	a.Server = httptest.NewServer(newRouter(slog.New(slog.DiscardHandler), imageRoutes(s)))
	t.Cleanup(func() { a.Close(); _ = s.Close() })
	return a
}

func (a *imageAPI) do(method, path string, body io.Reader, header ...string) (int, string) {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), method, a.URL+path, body)
	if err != nil {
		a.t.Fatal(err)
	}
	if len(header) == 2 {
		r.Header.Set(header[0], header[1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func (a *imageAPI) want(code int, text, method, path string, body io.Reader, header ...string) string {
	a.t.Helper()
	status, data := a.do(method, path, body, header...)
	if status != code || !strings.Contains(data, text) {
		a.t.Errorf("%s %s: %d %s\nwant %d with %s", method, path, status, data, code, text)
	}
	return data
}

// newLockedRegistry is a registry that wants user and password.
func newLockedRegistry(t *testing.T, user, password string) string {
	t.Helper()
	next := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func testServerImage(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(2000, 2)
	if err == nil {
		img, err = mutate.ConfigFile(img, withPlatform(t, img))
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func withPlatform(t *testing.T, img v1.Image) *v1.ConfigFile {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", runtime.GOARCH
	return c
}

func TestImagePullAPI(t *testing.T) {
	a := newImageAPI(t)
	img := testServerImage(t)
	open := newLockedRegistry(t, "", "")
	ref, err := name.ParseReference(open+"/app:1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	out := a.want(200, `"status":"Pull complete","progressDetail":{}`, "POST", "/v1.41/images/create?fromImage="+open+"/app&tag=1", nil)
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var m streamMessage
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Errorf("line %q: %v", line, err)
		}
	}
	if !strings.HasPrefix(out, `{"status":"Pulling from app","id":"1"}`) || !strings.Contains(out, "Status: Downloaded newer image for "+open+"/app:1") {
		t.Error(out)
	}
	a.want(200, "Image is up to date", "POST", "/images/create?fromImage="+open+"/app&tag=1", nil)
	a.want(404, "manifest unknown", "POST", "/images/create?fromImage="+open+"/app&tag=2", nil)
	a.want(400, "invalid reference format", "POST", "/images/create?fromImage=A:B:C", nil)
	a.want(404, "does not match the specified platform", "POST", "/images/create?fromImage="+open+"/app&tag=1&platform=linux/s390x", nil)
	a.want(400, "", "POST", "/images/create?fromImage="+open+"/app&platform=/////", nil)
	a.want(503, "connection refused", "POST", "/images/create?fromImage=127.0.0.1:1/app", nil)

	locked := newLockedRegistry(t, "me", "secret")
	a.want(404, "pull access denied for "+locked+"/app", "POST", "/images/create?fromImage="+locked+"/app", nil)
	auth := base64.URLEncoding.EncodeToString([]byte(`{"username":"me","password":"secret"}`))
	a.want(404, "manifest unknown", "POST", "/images/create?fromImage="+locked+"/app", nil, "X-Registry-Auth", auth)
	a.want(404, "pull access denied for "+locked+"/app", "POST", "/images/create?fromImage="+locked+"/app", nil, "X-Registry-Auth", "%%") // as none
}

func TestImageAPI(t *testing.T) {
	a := newImageAPI(t)
	tag, err := name.NewTag("app:1")
	if err != nil {
		t.Fatal(err)
	}
	img := testServerImage(t)
	id, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := tarball.Write(tag, img, &archive); err != nil {
		t.Fatal(err)
	}
	a.want(200, `{"stream":"Loaded image: app:1\n"}`, "POST", "/images/load?quiet=1", &archive)
	a.want(200, `"error":"invalid archive`, "POST", "/images/load", strings.NewReader("junk"))
	a.want(201, "", "POST", "/images/app:1/tag?repo=localhost:5000/team/app&tag=x", nil)
	a.want(404, "No such image: none:latest", "POST", "/images/none/tag?repo=x", nil)
	a.want(200, id.String(), "GET", "/v1.52/images/localhost:5000/team/app:x/json", nil)
	a.want(200, `"Id":"<missing>"`, "GET", "/images/app:1/history", nil)
	a.want(200, `"RepoTags":["app:1","localhost:5000/team/app:x"]`, "GET", "/images/json", nil)
	a.want(200, "VirtualSize", "GET", "/v1.41/images/json", nil)
	a.want(200, "[]", "GET", `/images/json?filters={"reference":["other"]}`, nil)
	a.want(200, id.String(), "GET", `/images/json?filters={"dangling":{"false":true}}`, nil)
	a.want(400, "invalid filter 'nope'", "GET", `/images/json?filters={"nope":["x"]}`, nil)
	a.want(404, "No such image: none:latest", "GET", "/images/none/get", nil)
	if _, saved := a.do("GET", "/images/get?names=app:1", nil); !strings.Contains(saved, "manifest.json") {
		t.Error("save wrote no archive")
	}
	a.want(409, "image is referenced in multiple repositories", "DELETE", "/images/"+id.String(), nil)
	a.want(200, `[{"Untagged":"app:1"}]`, "DELETE", "/images/app:1", nil)
	a.uses = []image.Use{{Container: strings.Repeat("c", 64), Running: true}}
	a.want(409, "(must force) - container cccccccccccc is using", "DELETE", "/images/localhost:5000/team/app:x", nil)
	a.uses = nil
	a.want(200, `{"Deleted":"`+id.String()+`"}`, "DELETE", "/images/localhost:5000/team/app:x", nil)
	a.want(404, "No such image", "DELETE", "/images/app:1", nil)

	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	rootfs, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	a.want(200, `{"status":"sha256:`, "POST", "/images/create?fromSrc=-&repo=made&tag=1&message=m&changes=CMD+x", rootfs)
	a.want(200, `"Cmd":["/bin/sh","-c","x"]`, "GET", "/images/made:1/json", nil)
	a.want(200, `"Deleted":"sha256:`, "POST", `/images/prune?filters={"dangling":["false"]}`, nil)
}
