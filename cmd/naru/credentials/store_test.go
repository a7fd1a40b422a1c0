package credentials

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/registry"
)

func TestSaveAndErase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "docker")
	t.Setenv("DOCKER_CONFIG", dir)
	config := filepath.Join(dir, "config.json")
	if err := Erase(t.Context(), "nosuch.example"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(config); err == nil {
		t.Error("erasing nothing made a file")
	}
	want := registry.AuthConfig{ServerAddress: Server("https://reg.example/v2/"), Username: "ali", Password: "se:sa:me"}
	if plain, err := Save(t.Context(), want); err != nil || plain != config {
		t.Fatal(plain, err)
	}
	if info, err := os.Stat(config); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if got, err := Stored(t.Context(), "reg.example"); err != nil || got != want {
		t.Errorf("stored: %+v, %v", got, err)
	}
	token := registry.AuthConfig{ServerAddress: Server(""), Username: "ali", IdentityToken: "tok"}
	if _, err := Save(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if got, err := Stored(t.Context(), hubServer); err != nil || got.IdentityToken != "tok" || got.Username != "ali" {
		t.Errorf("token: %+v, %v", got, err)
	}
	if err := Erase(t.Context(), "reg.example"); err != nil {
		t.Fatal(err)
	}
	if got, err := Stored(t.Context(), "reg.example"); err != nil || got.Username != "" {
		t.Errorf("after erasing: %+v, %v", got, err)
	}
}

// TestEdit: what is not ours in the file stays, also behind a symbolic link.
func TestEdit(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the helper of this test is a shell script, and links need a right there; on Linux or macOS: go test ./cmd/naru/credentials")
	}
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	write(t, filepath.Join(dir, "real.json"), 0o600, `{"proxies":{"x":[1]},"auths":{"https://old.example/v1/":{"auth":"YTpi"}},"credHelpers":{"helped.example":"test"}}`)
	if err := os.Symlink("real.json", filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "docker-credential-test"), 0o755, "#!/bin/sh\nprintf '%s ' \"$1\" >>\"$0.log\"; cat >>\"$0.log\"\n")
	ctx := t.Context()
	if plain, err := Save(ctx, registry.AuthConfig{ServerAddress: "helped.example", Username: "u", Password: "p"}); plain != "" || err != nil {
		t.Error(plain, err)
	}
	if err := Erase(ctx, "helped.example"); err != nil {
		t.Error(err)
	}
	if err := Erase(ctx, "old.example"); err != nil {
		t.Error(err)
	}
	said, _ := os.ReadFile(filepath.Join(dir, "docker-credential-test.log"))
	if want := `store {"ServerURL":"helped.example","Username":"u","Secret":"p"}erase helped.example`; string(said) != want {
		t.Errorf("the helper heard %s", said)
	}
	got, _ := os.ReadFile(filepath.Join(dir, "real.json"))
	if flat := strings.Join(strings.Fields(string(got)), ""); flat != `{"auths":{},"credHelpers":{"helped.example":"test"},"proxies":{"x":[1]}}` {
		t.Errorf("the file has %s", got)
	}
}
