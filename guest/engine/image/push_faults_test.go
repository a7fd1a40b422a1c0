package image

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	registrytypes "github.com/moby/moby/api/types/registry"
)

// pushable is a store with an image of two layers, one of which is large enough to break off.
func pushable(t *testing.T) (s *Store, id string) {
	t.Helper()
	s = openTest(t, t.TempDir(), nil)
	noise := make([]byte, 3<<20)
	_, _ = rand.Read(noise)
	archive := dockerArchive(t, "app:1", []file{{name: "a", content: "small"}}, []file{{name: "b", content: string(noise)}})
	got, err := s.Load(t.Context(), bytes.NewReader(archive), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s, got[0].ID
}

// striker spoils the first requests that match, and counts all of them.
type striker struct {
	mu     sync.Mutex // guards the rest
	match  func(r *http.Request) bool
	strike func(w http.ResponseWriter, r *http.Request)
	times  int
	seen   []string // "METHOD path?query" of all requests
}

func (s *striker) tamper(w http.ResponseWriter, r *http.Request, next http.Handler) {
	s.mu.Lock()
	s.seen = append(s.seen, r.Method+" "+r.URL.RequestURI())
	hit := s.match != nil && s.match(r) && s.times != 0
	if hit {
		s.times--
	}
	s.mu.Unlock()
	if hit {
		s.strike(w, r)
		return
	}
	next.ServeHTTP(w, r)
}

func (s *striker) count(part string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.seen {
		if strings.Contains(r, part) {
			n++
		}
	}
	return n
}

func answer(code int, retryAfter string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(code)
	}
}

// TestPushFaults: what strikes a registry once does not end a push; what stays does, with a clear error, and a later push ends well.
func TestPushFaults(t *testing.T) {
	s, id := pushable(t)
	put := func(part string) func(*http.Request) bool {
		return func(r *http.Request) bool { return r.Method == http.MethodPut && strings.Contains(r.URL.Path, part) }
	}
	start := func(r *http.Request) bool { return r.Method == http.MethodPost }
	breakOff := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 1<<10)
		reset(w, r, nil, nil)
	}
	released := make(chan struct{}) // a server that does not read sees nobody leave
	stall := func(http.ResponseWriter, *http.Request) { <-released }
	for _, c := range []struct {
		name   string
		match  func(*http.Request) bool
		strike func(http.ResponseWriter, *http.Request)
		stays  string
	}{
		{"503 at the start of an upload", start, answer(503, ""), "registry answered 503 Service Unavailable to POST"},
		{"429 at the start of an upload", start, answer(429, "0"), "toomanyrequests: registry answered 429"},
		{"500 to an upload", put("/blobs/uploads/"), answer(500, ""), "registry answered 500 Internal Server Error to PUT"},
		{"429 to an upload", put("/blobs/uploads/"), answer(429, "0"), "toomanyrequests: registry answered 429"},
		{"429 to an upload, for an hour", put("/blobs/uploads/"), answer(429, "3600"), "asks to wait for 1h0m0s"},
		{"an upload breaks off", put("/blobs/uploads/"), breakOff, ""},
		{"an upload stalls", put("/blobs/uploads/"), stall, "sent nothing for too long"},
		{"502 to the manifest", put("/manifests/"), answer(502, ""), "registry answered 502 Bad Gateway to PUT"},
		{"the manifest breaks off", put("/manifests/"), breakOff, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			reg := newTestRegistry(t)
			released = make(chan struct{})
			t.Cleanup(func() { close(released) })
			name := reg.host + "/team/app:1"
			if err := s.Tag(t.Context(), id, reg.host+"/team/app", "1"); err != nil {
				t.Fatal(err)
			}
			s.patience.stall, s.patience.tries = 250*time.Millisecond, 2
			push := func(times int) error {
				faults := &striker{match: c.match, strike: c.strike, times: times}
				reg.setTamper(faults.tamper)
				_, err := s.Push(t.Context(), PushOptions{Name: name})
				return err
			}
			if err := push(-1); err == nil || !strings.Contains(err.Error(), c.stays) {
				t.Errorf("while it stays: %v, want %q", err, c.stays)
			}
			if strings.Contains(c.name, "hour") {
				return
			}
			if err := push(1); err != nil {
				t.Errorf("when it strikes once: %v", err)
			}
			again := openTest(t, t.TempDir(), nil)
			if img, err := again.Pull(t.Context(), PullOptions{Name: name}); err != nil || img.ID != id {
				t.Errorf("what was pushed: %+v, %v", img, err)
			}
		})
	}
}

// TestPushRetryAfter: a registry's wish to wait is obeyed.
func TestPushRetryAfter(t *testing.T) {
	s, id := pushable(t)
	reg := newTestRegistry(t)
	if err := s.Tag(t.Context(), id, reg.host+"/app", "1"); err != nil {
		t.Fatal(err)
	}
	faults := &striker{match: func(r *http.Request) bool { return r.Method == http.MethodPut && r.ContentLength > 1<<20 }, strike: answer(503, "1"), times: 1}
	reg.setTamper(faults.tamper)
	var words statuses
	began := time.Now()
	if _, err := s.Push(t.Context(), PushOptions{Name: reg.host + "/app:1", Progress: words.add}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < time.Second || !words.has("Retrying in 1 second") {
		t.Errorf("it took %v and said %q", took, words.all)
	}
}

// TestPushMount: what the registry has is not sent again, neither to the same repository nor, once it is known, to another one.
func TestPushMount(t *testing.T) {
	s, id := pushable(t)
	reg := newTestRegistry(t)
	var words statuses
	push := func(repo string) *striker {
		// The registry of the tests has one store for all repositories, but must not say so.
		asks := func(r *http.Request) bool {
			return strings.Contains(r.URL.Path, "/team/two/blobs/") && (r.Method == http.MethodHead || r.URL.Query().Has("mount"))
		}
		seen := &striker{match: asks, times: -1, strike: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(map[string]int{http.MethodHead: http.StatusNotFound, http.MethodPost: http.StatusCreated}[r.Method])
		}}
		reg.setTamper(seen.tamper)
		if err := s.Tag(t.Context(), id, reg.host+"/"+repo, "1"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Push(t.Context(), PushOptions{Name: reg.host + "/" + repo + ":1", Progress: words.add}); err != nil {
			t.Fatal(err)
		}
		return seen
	}
	if seen := push("team/one"); seen.count("PUT /v2/team/one/blobs/") != 3 { // two layers and the config
		t.Errorf("the first push: %q", seen.seen)
	}
	if seen := push("team/one"); seen.count("PUT /v2/team/one/blobs/")+seen.count("POST ") != 0 {
		t.Errorf("the same push again: %q", seen.seen)
	}
	if seen := push("team/two"); seen.count("from=team/one") != 2 || seen.count("PUT /v2/team/two/blobs/") != 1 {
		t.Errorf("layers are not asked for from the first repository: %q", seen.seen)
	}
	if !words.has("Mounted from team/one") {
		t.Errorf("it said %q", words.all)
	}
}

// TestPushElsewhere: an upload that the registry sends to another server goes there without credentials.
func TestPushElsewhere(t *testing.T) {
	s, id := pushable(t)
	reg := newTestRegistry(t)
	var mu sync.Mutex
	var leaked []string
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if a := r.Header.Get("Authorization"); a != "" {
			leaked = append(leaked, a)
		}
		mu.Unlock()
		r.URL.Scheme, r.URL.Host, r.RequestURI = "http", reg.host, ""
		r.SetBasicAuth("me", "secret")
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(storage.Close)
	reg.setTamper(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if u, p, _ := r.BasicAuth(); u != "me" || p != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		w.Header().Set("Location", storage.URL+rec.Header().Get("Location"))
		w.WriteHeader(rec.Code)
	})
	if err := s.Tag(t.Context(), id, reg.host+"/app", "1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(t.Context(), PushOptions{Name: reg.host + "/app:1", Auth: registrytypes.AuthConfig{Username: "me", Password: "secret"}}); err != nil {
		t.Errorf("push: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(leaked) != 0 {
		t.Errorf("credentials went to another server: %q", leaked)
	}
}

// TestClientCertificate: a registry that lets nobody in without one, with the user's in a folder as Docker's certs.d.
func TestClientCertificate(t *testing.T) {
	s, id := pushable(t)
	ours, key := clientCertificate(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ours)
	server := httptest.NewUnstartedServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	server.StartTLS()
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "https://")
	certs := t.TempDir()
	s.o.Registries.CertsDir = certs
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(certs, host), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(certs, host, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Tag(t.Context(), id, host+"/app", "1"); err != nil {
		t.Fatal(err)
	}
	push := func() error {
		_, err := s.Push(t.Context(), PushOptions{Name: host + "/app:1"})
		return err
	}
	refused := func(when, want string) {
		t.Helper()
		if err := push(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", when, err, want)
		}
	}
	write("ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	refused("without a certificate", "certificate required")
	write("client.cert", ours)
	refused("without its key", "missing key client.key for client certificate client.cert")
	write("client.key", []byte("junk"))
	refused("with a key that is none", "client certificate "+filepath.Join(certs, host, "client.cert"))
	write("client.key", key)
	if err := push(); err != nil {
		t.Fatalf("with certificate and key: %v", err)
	}
	again := openTest(t, t.TempDir(), nil)
	again.o.Registries.CertsDir = certs
	if img, err := again.Pull(t.Context(), PullOptions{Name: host + "/app:1"}); err != nil || img.ID != id {
		t.Errorf("pull: %+v, %v", img, err)
	}
	if err := os.Remove(filepath.Join(certs, host, "client.cert")); err != nil {
		t.Fatal(err)
	}
	refused("with the key alone", "missing client certificate client.cert for key client.key")
}

// clientCertificate is a certificate that stands for itself, and its key, as PEM.
func clientCertificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: kder})
}
