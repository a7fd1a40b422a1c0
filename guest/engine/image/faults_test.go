package image

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/api/types/registry"
)

// startRegistry runs CNCF distribution, Debian's docker-registry, on loopback. auth is that part of its configuration.
func startRegistry(t *testing.T, auth string) (addr string) {
	t.Helper()
	bin, err := filepath.Abs("../../../.cache/peers/docker-registry/bin/docker-registry")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		t.Skip("needs a registry: run scripts/peers")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	_ = l.Close()
	dir := t.TempDir()
	config := "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: " + dir + "/data}}\nhttp: {addr: '" + addr +
		"', relativeurls: true}\n" + auth
	if err := os.WriteFile(dir+"/config.yml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, "serve", dir+"/config.yml")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(20 * time.Second); ; {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return addr
		}
		if time.Now().After(deadline) {
			t.Fatal("the registry does not listen")
		}
		<-time.After(10 * time.Millisecond)
	}
}

// faultProxy stands before a registry, with TLS, and spoils the answers to GETs of one blob.
type faultProxy struct {
	*httptest.Server
	host  string
	mu    sync.Mutex // guards the rest
	blob  string
	fault fault
	times int // how often the fault still strikes; -1 for ever
	asked []string
}

// fault spoils an answer. It has the whole body and may call serve to answer right.
type fault func(w http.ResponseWriter, r *http.Request, body []byte, serve func())

func newFaultProxy(t *testing.T, registryAddr string) *faultProxy {
	t.Helper()
	p := &faultProxy{}
	to := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: registryAddr})
		r.Out.Host = r.In.Host
	}, ErrorLog: log.New(io.Discard, "", 0)}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := p.strike(r)
		if f == nil {
			to.ServeHTTP(w, r)
			return
		}
		whole := r.Clone(r.Context())
		whole.Header.Del("Range")
		got := httptest.NewRecorder()
		to.ServeHTTP(got, whole)
		f(w, r, got.Body.Bytes(), func() { to.ServeHTTP(w, r) })
	}))
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.StartTLS()
	t.Cleanup(p.Close)
	p.host = strings.TrimPrefix(p.URL, "https://")
	return p
}

func (p *faultProxy) strike(r *http.Request) fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
		p.asked = append(p.asked, r.URL.Path+" "+r.Header.Get("Range"))
	}
	if r.Method != http.MethodGet || p.blob == "" || !strings.HasSuffix(r.URL.Path, p.blob) || p.times == 0 {
		return nil
	}
	p.times--
	return p.fault
}

func (p *faultProxy) set(blob string, f fault, times int) {
	p.mu.Lock()
	p.blob, p.fault, p.times, p.asked = blob, f, times, nil
	p.mu.Unlock()
}

func (p *faultProxy) requests() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.asked, "\n")
}

// certsDir is a folder like Docker's certs.d that trusts the proxy.
func (p *faultProxy) certsDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, p.host), 0o755); err != nil {
		t.Fatal(err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, p.host, "ca.crt"), ca, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func status(code int, header ...string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func()) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// half sends half of a body and then breaks the connection off.
func half(w http.ResponseWriter, _ *http.Request, body []byte, _ func()) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body[:len(body)/2])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func reset(w http.ResponseWriter, _ *http.Request, _ []byte, _ func()) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = c.Close()
	}
}

func tooShort(w http.ResponseWriter, _ *http.Request, body []byte, _ func()) {
	_, _ = w.Write(body[:len(body)-7])
}

func tooLong(w http.ResponseWriter, _ *http.Request, body []byte, _ func()) {
	_, _ = w.Write(append(body, "more"...))
}

func corrupted(w http.ResponseWriter, _ *http.Request, body []byte, _ func()) {
	body[len(body)/2] ^= 1
	_, _ = w.Write(body)
}

func stalled(w http.ResponseWriter, r *http.Request, body []byte, _ func()) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body[:len(body)/3])
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// TestFaults: behind each fault a pull ends right, or when the fault stays with a clear error; no wrong blob stays; and the
// pull after that fetches only what is missing. With each kind of credentials.
func TestFaults(t *testing.T) {
	for _, kind := range []string{"open", "basic", "token"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			auth := map[string]func(*testing.T) string{
				"open": func(*testing.T) string { return "" }, "basic": basicAuth, "token": tokenAuth,
			}[kind](t)
			chunks := defaultChunking()
			if kind == "token" { // the layer comes in chunks
				chunks = newChunking(100_000, 30_000, 3, 6)
			}
			testFaults(t, newFaultProxy(t, startRegistry(t, auth)), kind != "open", chunks)
		})
	}
}

func testFaults(t *testing.T, p *faultProxy, secret bool, chunks chunking) {
	noise := make([]byte, 300_000)
	_, _ = rand.Read(noise)
	img := testImage(t, runtime.GOARCH, []file{{name: "a", content: "small"}}, []file{{name: "b", content: string(noise)}})
	credentials := registry.AuthConfig{}
	if secret {
		credentials = registry.AuthConfig{Username: "me", Password: "secret"}
	}
	pushWith(t, p, "team/app:1", img, credentials)
	layers, _ := img.Layers()
	small, _ := layers[0].Digest()
	blob, _ := layers[1].Digest()
	for _, c := range []struct {
		name   string
		fault  fault
		stays  string // the error when the fault stays
		resume bool   // what had come is used again
	}{
		{"429", status(http.StatusTooManyRequests, "Retry-After", "0"), "toomanyrequests: registry answered 429", false},
		{"429 for an hour", status(http.StatusTooManyRequests, "Retry-After", "3600"), "asks to wait for 1h0m0s", false},
		{"500", status(http.StatusInternalServerError), "registry answered 500 Internal Server Error to GET https://" + p.host + "/v2/team/app/blobs/sha256:", false},
		{"503", status(http.StatusServiceUnavailable), "registry answered 503", false},
		{"truncated", half, "broke off", true},
		{"reset", reset, "EOF", false},
		{"too short", tooShort, "broke off", false},
		{"too long", tooLong, "filesystem layer verification failed for digest " + blob.String(), false},
		{"corrupted", corrupted, "filesystem layer verification failed for digest " + blob.String(), false},
		{"stalled", stalled, "broke off", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openTest(t, t.TempDir(), nil)
			s.patience.stall, s.chunks = 20*time.Second, chunks
			if c.name == "stalled" {
				s.patience.stall = 500 * time.Millisecond
			}
			s.o.Registries.CertsDir = p.certsDir(t)
			pull := func() error {
				_, err := s.Pull(t.Context(), PullOptions{Name: p.host + "/team/app:1", Auth: credentials})
				return err
			}
			hours := c.name == "429 for an hour" // given up at once, so that the other layer may not have come yet
			p.set(blob.String(), c.fault, -1)
			if err := pull(); err == nil || !strings.Contains(err.Error(), c.stays) {
				t.Errorf("while it stays: %v, want %q", err, c.stays)
			}
			wantRight(t, s)
			p.set("", nil, 0)
			if err := pull(); err != nil {
				t.Errorf("when it is over: %v", err)
			}
			if asked := p.requests(); !strings.Contains(c.stays, "verification") && !hours && strings.Contains(asked, small.String()) {
				t.Errorf("a verified layer was fetched again:\n%s", asked)
			} else if c.resume && !strings.Contains(asked, blob.String()+" bytes=") {
				t.Errorf("no use was made of what had come:\n%s", asked)
			}
			if hours {
				return
			}
			if _, err := s.Delete(t.Context(), p.host+"/team/app:1", DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			wantEmpty(t, s)
			p.set(blob.String(), c.fault, 1)
			if err := pull(); err != nil {
				t.Errorf("when it strikes once: %v", err)
			}
		})
	}
	s := openTest(t, t.TempDir(), nil) // without the folder of certificates loopback is not checked, as with Docker
	p.set("", nil, 0)
	if _, err := s.Pull(t.Context(), PullOptions{Name: p.host + "/team/app:1", Auth: credentials}); err != nil {
		t.Errorf("insecure on loopback: %v", err)
	}
	if secret {
		_, err := s.Pull(t.Context(), PullOptions{Name: p.host + "/team/app:1", Auth: registry.AuthConfig{Username: "me", Password: "no"}})
		if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "pull access denied for "+p.host+"/team/app") {
			t.Errorf("wrong password: %v", err)
		}
		if _, err := s.Push(t.Context(), PushOptions{Name: p.host + "/team/app:1", Auth: credentials}); err != nil {
			t.Errorf("push: %v", err)
		}
	}
}

// wantRight checks every blob in the store against its name.
func wantRight(t *testing.T, s *Store) {
	t.Helper()
	blobs, err := filepath.Glob(filepath.Join(s.o.Root, "content/blobs/sha256/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range blobs {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(data); filepath.Base(path) != hexOf(sum[:]) {
			t.Errorf("%s was kept and is wrong", path)
		}
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for _, c := range b {
		out.WriteByte(digits[c>>4])
		out.WriteByte(digits[c&15])
	}
	return out.String()
}

// pushWith pushes by a store of ours, from a registry that is open.
func pushWith(t *testing.T, p *faultProxy, repo string, img v1.Image, a registry.AuthConfig) {
	t.Helper()
	s := openTest(t, t.TempDir(), nil)
	got, err := s.Pull(t.Context(), PullOptions{Name: newTestRegistry(t).push(t, "from:1", img).String()})
	if err != nil {
		t.Fatal(err)
	}
	path, tag, _ := strings.Cut(repo, ":")
	if err := s.Tag(t.Context(), got.ID, p.host+"/"+path, tag); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(t.Context(), PushOptions{Name: p.host + "/" + repo, Auth: a}); err != nil {
		t.Fatal(err)
	}
}

// basicAuth lets me:secret in.
func basicAuth(t *testing.T) string {
	const hash = "$2a$04$UJCGzZzOEoy2n.1yoJawF.VyULQcPzkGfw0FOdC.27H2f3Z9tv5B." // of "secret", by bcrypt
	path := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(path, []byte("me:"+hash+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "auth: {htpasswd: {realm: test, path: " + path + "}}\n"
}

// tokenAuth has a token server that lets me:secret in. https://distribution.github.io/distribution/spec/auth/jwt/
func tokenAuth(t *testing.T) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tokens"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		user, password, _ := r.BasicAuth()
		if r.Method == http.MethodPost {
			user, password = r.Form.Get("username"), r.Form.Get("password")
		}
		if user != "me" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		token := signToken(key, der, r.Form["scope"])
		_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "access_token": token})
	}))
	t.Cleanup(server.Close)
	return "auth: {token: {realm: '" + server.URL + "/token', service: test, issuer: tokens, rootcertbundle: " + bundle + "}}\n"
}

func signToken(key *ecdsa.PrivateKey, der []byte, scopes []string) string {
	var access []map[string]any
	for _, s := range strings.Fields(strings.Join(scopes, " ")) {
		if f := strings.Split(s, ":"); len(f) == 3 {
			access = append(access, map[string]any{"type": f[0], "name": f[1], "actions": strings.Split(f[2], ",")})
		}
	}
	enc := func(v any) string {
		data, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(data)
	}
	now := time.Now().Unix()
	text := enc(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(der)}}) + "." +
		enc(map[string]any{"iss": "tokens", "sub": "me", "aud": "test", "exp": now + 300, "nbf": now - 10, "iat": now, "jti": "1", "access": access})
	sum := sha256.Sum256([]byte(text))
	r, s, _ := ecdsa.Sign(rand.Reader, key, sum[:])
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}
