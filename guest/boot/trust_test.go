package boot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"naru/guest/api"
)

// TestTrustHost: proxies go into the environment, and what is no certificate not into the bundle.
func TestTrustHost(t *testing.T) {
	bundle := filepath.Join(t.TempDir(), "bundle")
	if err := os.WriteFile(bundle, []byte("before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTPS_PROXY", "")
	t.Setenv("LD_PRELOAD", "")
	c := &api.Config{
		Proxy: map[string]string{"HTTPS_PROXY": "http://127.0.0.1:3128", "LD_PRELOAD": "x"},
		CAs:   "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	}
	if err := trustHost(c, bundle); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(bundle)
	if err != nil || strings.TrimSpace(string(data)) != "before" {
		t.Errorf("the bundle is %q, %v", data, err)
	}
	if os.Getenv("HTTPS_PROXY") != "http://127.0.0.1:3128" || os.Getenv("LD_PRELOAD") != "" {
		t.Errorf("HTTPS_PROXY=%q LD_PRELOAD=%q", os.Getenv("HTTPS_PROXY"), os.Getenv("LD_PRELOAD"))
	}
}
