package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

func certificate(t *testing.T, name string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestOnlyCertificates: what goes to the guest holds no key, no text and nothing twice, and has room.
func TestOnlyCertificates(t *testing.T) {
	a, b := certificate(t, "a"), certificate(t, "b")
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")}))
	broken := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("none")}))
	if got, left := onlyCertificates([]byte("text\n"+a+secret+broken+b+a), 1<<20); got != a+b || left != 0 {
		t.Errorf("%q, %d left", got, left)
	}
	if got, left := onlyCertificates([]byte(a+b), len(a)); got != a || left != 1 {
		t.Errorf("%q, %d left", got, left)
	}
}

func TestHostProxies(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"} {
		t.Setenv(name, "")
		t.Setenv(strings.ToLower(name), "")
	}
	t.Setenv("https_proxy", "http://small:1")
	t.Setenv("HTTP_PROXY", "http://large:1")
	t.Setenv("http_proxy", "http://hidden:1")
	got := hostProxies()
	if len(got) != 2 || got["HTTPS_PROXY"] != "http://small:1" || got["HTTP_PROXY"] != "http://large:1" {
		t.Errorf("%v", got)
	}
}
