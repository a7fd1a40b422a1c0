package image

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestChunks: a large layer comes over several connections from a registry that answers a Range, and whole from one that does
// not or that spoils the answers.
func TestChunks(t *testing.T) {
	const size = 20_000
	noise := make([]byte, 300_000)
	_, _ = rand.Read(noise)
	img := testImage(t, runtime.GOARCH, []file{{name: "small", content: "s"}}, []file{{name: "large", content: string(noise)}})
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[1].Digest()
	if err != nil {
		t.Fatal(err)
	}
	rc, err := layers[1].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	blob, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	whole := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
	}
	late := func(r *http.Request) bool { // after the first chunks, and not the plain download that takes over
		var from, to int
		n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to)
		return n == 2 && from > 100_000
	}
	for _, c := range []struct {
		name        string
		serve       func(w http.ResponseWriter, r *http.Request)
		least, most int // requests
	}{
		{"right", whole, 14, 17},
		{"no Range", func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			whole(w, r)
		}, 2, 4},
		{"another part", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				r.Header.Set("Range", "bytes=5-20004")
			}
			whole(w, r)
		}, 2, 4},
		{"part without its place", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" {
				whole(w, r)
				return
			}
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(blob[:size])
		}, 2, 4},
		{"refused", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" {
				whole(w, r)
				return
			}
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		}, 2, 4},
		{"refused later", func(w http.ResponseWriter, r *http.Request) {
			if late(r) {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			whole(w, r)
		}, 6, 12},
		{"broken off", func(w http.ResponseWriter, r *http.Request) {
			var from, to int
			if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); n != 2 || to-from < size/2 {
				whole(w, r)
				return
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(blob)))
			w.Header().Set("Content-Length", fmt.Sprint(to-from+1))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(blob[from : from+size/3*2])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, 20, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			reg := newTestRegistry(t)
			ref := reg.push(t, "app", img).String()
			var mu sync.Mutex
			var ranges []string
			reg.setTamper(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if !strings.HasSuffix(r.URL.Path, digest.String()) {
					next.ServeHTTP(w, r)
					return
				}
				mu.Lock()
				ranges = append(ranges, r.Header.Get("Range"))
				mu.Unlock()
				c.serve(w, r)
			})
			s := openTest(t, t.TempDir(), nil)
			s.chunks = newChunking(100_000, size, 3, 3)
			got, err := s.Pull(t.Context(), PullOptions{Name: ref})
			if err != nil {
				t.Fatalf("%v; asked for %q", err, ranges)
			}
			if read(t, s, got.ID, "large") != string(noise) {
				t.Error("the file is another")
			}
			if n := len(ranges); n < c.least || n > c.most {
				t.Errorf("it took %d requests, want %d to %d: %q", n, c.least, c.most, ranges)
			}
			if n := len(s.chunks.slots); n != 0 {
				t.Errorf("%d chunks are still held", n)
			}
		})
	}
}
