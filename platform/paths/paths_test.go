package paths

import (
	"path/filepath"
	"regexp"
	"testing"
)

func TestName(t *testing.T) {
	def, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	if got := def.Name(); got != DefaultName {
		t.Errorf("name of the default folder: %q, want %q", got, DefaultName)
	}
	other := Home(filepath.Join(t.TempDir(), "x"))
	if got := other.Name(); !regexp.MustCompile(`^naru-[0-9a-f]{8}$`).MatchString(got) {
		t.Errorf("name of %s: %q", other, got)
	}
}

func TestFromEnv(t *testing.T) {
	t.Setenv(EnvHome, "some/where/")
	home, err := FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := filepath.Abs("some/where"); string(home) != want {
		t.Errorf("home is %q, want %q", home, want)
	}
	t.Setenv(EnvHome, "")
	def, _ := Default()
	if home, _ = FromEnv(); home != def {
		t.Errorf("home without %s is %q, want %q", EnvHome, home, def)
	}
}
