package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"naru": main})
}

// TestScripts runs the real main against an engine that answers from the script's own files: `GET /containers/json`
// is answered with api/GET_containers_json, whose first line may be a status; other requests get 501. What was sent
// is kept: one line a request in requests/log, a JSON body (what is empty in it left away) in requests/POST_….
func TestScripts(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the scripts use a unix socket; on Linux or macOS: go test ./cmd/naru")
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			dir, err := os.MkdirTemp("", "naru") // a short path, for the socket
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(dir) })
			socket := filepath.Join(dir, "s")
			server, err := newFakeEngine(socket, env.WorkDir)
			if err != nil {
				return err
			}
			env.Defer(server.close)
			env.Setenv("DOCKER_HOST", "unix://"+socket)
			env.Setenv("NARU_HOME", filepath.Join(dir, "home"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("DOCKER_CONFIG", env.WorkDir)
			env.Setenv("SOCKET", socket)
			return nil
		},
	})
}

// fakeEngine answers from files.
type fakeEngine struct {
	dir  string
	http http.Server

	mu sync.Mutex // guards the files of requests
}

func newFakeEngine(socket, dir string) (*fakeEngine, error) {
	ln, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	e := &fakeEngine{dir: dir}
	e.http.Handler = e
	go e.http.Serve(ln) // ended by close
	return e, nil
}

func (e *fakeEngine) close() { _ = e.http.Close() }

var apiVersion = regexp.MustCompile(`^/v1\.\d+/`)

func (e *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/_ping" {
		w.Header().Set("Api-Version", "1.56")
		return
	}
	path := apiVersion.ReplaceAllString(r.URL.Path, "/")
	name := r.Method + strings.ReplaceAll(path, "/", "_")
	if err := e.record(name, path, r); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	status, body := e.answer(name, path)
	if strings.HasSuffix(path, "/attach") || strings.HasPrefix(path, "/exec/") && strings.HasSuffix(path, "/start") {
		hijack(w, status, body)
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (e *fakeEngine) record(name, path string, r *http.Request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	dir := filepath.Join(e.dir, "requests")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	line := r.Method + " " + path
	if len(r.URL.Query()) > 0 {
		line += "?" + r.URL.Query().Encode()
	}
	if auth := r.Header.Get("X-Registry-Auth"); auth != "" {
		line += " auth " + auth
	}
	fmt.Fprintln(log, line)
	var doc any
	if json.NewDecoder(r.Body).Decode(&doc) != nil {
		return nil
	}
	text, err := json.MarshalIndent(withoutEmpty(doc), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), append(text, '\n'), 0o644)
}

// withoutEmpty leaves out what says nothing, so that a script shows what matters.
func withoutEmpty(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if isSet(v) {
			return v
		}
		for k, x := range v {
			if x = withoutEmpty(x); x == nil {
				delete(v, k)
			} else {
				v[k] = x
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		if !slices.ContainsFunc(v, func(x any) bool { return withoutEmpty(x) != nil }) {
			return nil
		}
	case string:
		if v == "" {
			return nil
		}
	case float64:
		if v == 0 {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	}
	return v
}

// isSet tells whether an object is a Go set: keys with nothing behind them.
func isSet(m map[string]any) bool {
	for _, v := range m {
		if x, ok := v.(map[string]any); !ok || len(x) > 0 {
			return false
		}
	}
	return len(m) > 0
}

// answer reads the file of a request. With a file NAME.2 the second answer is that one, and so on.
func (e *fakeEngine) answer(name, path string) (int, []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	file := filepath.Join(e.dir, "api", name)
	text, err := os.ReadFile(file)
	if err != nil {
		return http.StatusNotImplemented, fmt.Appendf(nil, `{"message":"naru does not serve %s yet"}`, path)
	}
	if next, err := os.ReadFile(file + ".2"); err == nil {
		_ = os.WriteFile(file, next, 0o644)
		_ = os.Remove(file + ".2")
	}
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	if status, err := strconv.Atoi(string(first)); err == nil {
		return status, rest
	}
	return http.StatusOK, text
}

// hijack answers with a stream: each line "1 text" or "2 text" becomes a frame of stdout or stderr, "stdin" the
// bytes that came until the half-close.
func hijack(w http.ResponseWriter, status int, body []byte) {
	if status >= 400 {
		w.WriteHeader(status)
		_, _ = w.Write(body)
		return
	}
	conn, in, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprint(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	for line := range strings.Lines(string(body)) {
		stream, text, _ := strings.Cut(line, " ")
		if stream == "stdin\n" {
			got, _ := io.ReadAll(in)
			stream, text = "1", string(got)
		}
		n, _ := strconv.Atoi(stream)
		_, _ = conn.Write(append([]byte{byte(n), 0, 0, 0, 0, 0, 0, byte(len(text))}, text...))
	}
}
