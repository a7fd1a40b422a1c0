package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
)

// newClient talks to a handler over TCP.
func newClient(t *testing.T, h http.HandlerFunc, o Options) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c := New(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", srv.Listener.Addr().String())
	}, o)
	t.Cleanup(c.Close)
	return c
}

// oldEngine serves up to API 1.41, as Docker 20.10 does.
func oldEngine(asked *[]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.Path)
		w.Header().Set("Api-Version", "1.41")
		switch {
		case r.URL.Path == "/_ping":
		case !strings.HasPrefix(r.URL.Path, "/v1.41/"):
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"message":"client version 1.56 is too new. Maximum supported API version is 1.41"}`)
		default:
			_, _ = io.WriteString(w, `{"Id":"id0"}`)
		}
	}
}

func TestVersion(t *testing.T) {
	for name, c := range map[string]struct {
		negotiate bool
		want      string
	}{
		"asked first":       {true, "/_ping /v1.41/containers/x/json /v1.41/containers/x/json"},
		"asked when needed": {false, "/v1.56/containers/x/json /_ping /v1.41/containers/x/json /v1.41/containers/x/json"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			cl := newClient(t, oldEngine(&asked), Options{Negotiate: c.negotiate})
			for range 2 {
				if info, err := cl.ContainerInspect(t.Context(), "x"); err != nil || info.ID != "id0" {
					t.Fatal(info.ID, err)
				}
			}
			if got := strings.Join(asked, " "); got != c.want {
				t.Errorf("asked %s, want %s", got, c.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": "No such container: x"})
	}, Options{})
	err := c.ContainerStart(t.Context(), "x")
	if !IsNotFound(err) || err.Error() != "No such container: x" {
		t.Errorf("error of the engine: %v", err)
	}
	absent := New(func(context.Context) (net.Conn, error) { return nil, io.ErrClosedPipe }, Options{Endpoint: "unix:///x"})
	var connect *ConnectError
	if err := absent.ContainerStart(t.Context(), "x"); !errors.As(err, &connect) || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error without an engine: %v", err)
	}
	why := errors.New("the user gave up")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := c.ContainerStart(ctx, "x"); !errors.Is(err, why) {
		t.Errorf("error after a cancel: %v", err)
	}
}

// TestHijack: after the half-close of stdin the output still comes, and what came with the answer is not lost.
func TestHijack(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "tcp" {
			http.Error(w, "no upgrade asked for", http.StatusBadRequest)
			return
		}
		conn, in, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nfirst ")
		got, _ := io.ReadAll(in)
		_, _ = conn.Write(got)
	}, Options{})
	s, err := c.ContainerAttach(t.Context(), "x", AttachOptions{Stdin: true, Stdout: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := io.WriteString(s, "then this"); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(s); string(got) != "first then this" || err != nil {
		t.Errorf("output %q, %v", got, err)
	}
}

// TestWait returns from ContainerWait as soon as the engine has taken the request.
func TestWait(t *testing.T) {
	ended := make(chan struct{})
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-ended
		_ = json.NewEncoder(w).Encode(container.WaitResponse{StatusCode: 3})
	}, Options{})
	w, err := c.ContainerWait(t.Context(), "x", container.WaitConditionNextExit)
	if err != nil {
		t.Fatal(err)
	}
	close(ended)
	if code, err := w.Result(); code != 3 || err != nil {
		t.Errorf("code %d, %v", code, err)
	}
}

func TestDialURL(t *testing.T) {
	for url, ok := range map[string]bool{
		"unix:///x": true, "tcp://h:1": true, "tcp://h": true, "npipe:////./pipe/x": true,
		"ssh://h": false, "/x": false, "tcp://": false, "tcp://h/x": false, "": false,
	} {
		if _, err := DialURL(url, ""); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
}
