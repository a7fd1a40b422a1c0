package acceptance

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestProxyAndCertificates: the engine in the VM pulls from a registry that only the host's proxy knows, on the host's
// loopback, and that only an authority of the host's vouches for.
func TestProxyAndCertificates(t *testing.T) {
	requireBuilt(t, "machine")
	back := &url.URL{Scheme: "http", Host: registry(t)}
	reverse := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(back); r.Out.Host = back.Host }}
	secure := httptest.NewTLSServer(reverse) // its certificate is its own authority, for example.com
	defer secure.Close()
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "example.com:443" {
			http.Error(w, "not through here: "+r.Method+" "+r.Host, http.StatusForbidden)
			return
		}
		asked.Add(1)
		there, err := net.Dial("tcp", secure.Listener.Addr().String())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer there.Close()
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer here.Close()
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); _ = there.(*net.TCPConn).CloseWrite() }()
		_, _ = io.Copy(here, there)
	}))
	defer proxy.Close()

	w := newWorld(t, "machine")
	defer w.stop()
	authority := filepath.Join(w.work, "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	w.env = append(w.env, "HTTPS_PROXY="+proxy.URL, "SSL_CERT_FILE="+authority)
	got := w.sh(t, "naru pull -q example.com/bookworm && naru info -f '{{.HTTPSProxy}}' && naru run --rm example.com/bookworm env")
	lines := strings.Split(got, "\n")
	if asked.Load() == 0 || lines[0] != "example.com/bookworm:latest" || lines[1] != proxy.URL {
		t.Errorf("%d connections through the proxy; %q", asked.Load(), got)
	}
	if strings.Contains(strings.Join(lines[2:], "\n"), "PROXY") {
		t.Errorf("a container that nobody gave it has the engine's proxy: %q", got)
	}
}
