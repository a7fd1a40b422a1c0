package credentials

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestHeader(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	if got, err := Header(t.Context(), "docker.io"); got != "" || err != nil {
		t.Errorf("without a file: %q, %v", got, err)
	}
	write(t, filepath.Join(dir, "config.json"), 0o600, `{
		"auths": {"https://index.docker.io/v1/": {"auth": "dXNlcjpwYTpzcw=="}, "ghcr.io": {"identitytoken": "tok"}, "stored.example": {}},
		"credHelpers": {"helped.example": "test"}}`)
	write(t, filepath.Join(dir, "docker-credential-test"), 0o755, `#!/bin/sh
read server || test -n "$server"
echo "{\"ServerURL\":\"$server\",\"Username\":\"u\",\"Secret\":\"s-$server\"}"
`)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for domain, want := range map[string]string{
		"docker.io":      `{"username":"user","password":"pa:ss","serveraddress":"https://index.docker.io/v1/"}`,
		"ghcr.io":        `{"identitytoken":"tok","serveraddress":"ghcr.io"}`,
		"stored.example": "",
		"other.example":  "",
		"helped.example": `{"username":"u","password":"s-helped.example","serveraddress":"helped.example"}`,
	} {
		if domain == "helped.example" && runtime.GOOS == "windows" {
			continue // the helper of this test is a shell script
		}
		got, err := Header(t.Context(), domain)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := base64.URLEncoding.DecodeString(got); err != nil || string(plain) != want {
			t.Errorf("%s: %s, want %s (%v)", domain, plain, want, err)
		}
	}
}

func write(t *testing.T, file string, mode os.FileMode, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
