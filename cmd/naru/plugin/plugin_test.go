package plugin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestConfig(t *testing.T) {
	own := t.TempDir()
	t.Setenv("DOCKER_CONFIG", own)
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(own, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("config.json", `{"auths":{"r.test":{"auth":"eA=="}},"currentContext":"other","cliPluginsExtraDirs":["/old"],"unknown":{"kept":1}}`)
	write("token", "secret")
	folder, err := newConfig("/plugins")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	var got map[string]any
	data, err := os.ReadFile(filepath.Join(folder, "config.json"))
	if err == nil {
		err = json.Unmarshal(data, &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	if dirs, _ := got["cliPluginsExtraDirs"].([]any); !slices.Equal(dirs, []any{"/old", "/plugins"}) {
		t.Errorf("folders of plug-ins: %v", dirs)
	}
	if got["auths"] == nil || got["unknown"] == nil || got["currentContext"] != nil {
		t.Errorf("configuration: %s", data)
	}
	if data, err := os.ReadFile(filepath.Join(folder, "token")); err != nil || string(data) != "secret" {
		t.Errorf("the user's other files are not there: %q, %v", data, err)
	}
	if err := os.WriteFile(filepath.Join(folder, "buildx", "state"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(own, "buildx", "state")); err != nil {
		t.Errorf("buildx's state is not kept: %v", err)
	}
	write("config.json", "{")
	if left, err := newConfig("/plugins"); err == nil {
		t.Errorf("a broken configuration is taken: %s", left)
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"A=b", "DOCKER_HOST=tcp://x", "DOCKER_CONTEXT=y", "DOCKER_CONFIG=/z", "DOCKER_BUILDKIT=1"}, "unix:///s", "/c")
	want := []string{"A=b", "DOCKER_BUILDKIT=1", "DOCKER_HOST=unix:///s", "DOCKER_CONFIG=/c"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
