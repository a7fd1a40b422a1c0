package machine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"naru/platform/paths"
)

func TestSettingsRoundTrip(t *testing.T) {
	home := paths.Home(t.TempDir())
	first, err := LoadSettings(home)
	if err != nil {
		t.Fatal(err)
	}
	if first.EffectiveCPUs() < 1 || first.EffectiveMemory(false) < minMemory || first.EffectiveDisk() != defaultDisk {
		t.Errorf("defaults: %d CPUs, %d memory, %d disk", first.EffectiveCPUs(), first.EffectiveMemory(false), first.EffectiveDisk())
	}
	first.CPUs, first.Memory, first.Shares = 3, 1<<30, []Share{{Path: t.TempDir(), ReadOnly: true}}
	if err := SaveSettings(home, first); err != nil {
		t.Fatal(err)
	}
	again, err := LoadSettings(home)
	if err != nil {
		t.Fatal(err)
	}
	if again.CPUs != 3 || again.EffectiveMemory(true) != 1<<30 || len(again.Shares) != 1 || !again.Shares[0].ReadOnly {
		t.Errorf("read again: %+v", again)
	}
}

func TestSettingsOfANewerNaru(t *testing.T) {
	home := paths.Home(t.TempDir())
	_ = os.MkdirAll(home.Machine(), 0o700)
	_ = os.WriteFile(home.MachineSettings(), []byte(`{"version": 99}`), 0o600)
	if _, err := LoadSettings(home); err == nil || !strings.Contains(err.Error(), "newer naru") {
		t.Errorf("load: %v", err)
	}
}

func TestDefaultMemory(t *testing.T) {
	for host, want := range map[uint64]uint64{
		0: 2 * gib, 1 * gib: 512 * mib, 2 * gib: 1 * gib, 6 * gib: 2 * gib, 16 * gib: 4 * gib, 128 * gib: 8 * gib,
	} {
		if got := defaultMemory(host); got != want {
			t.Errorf("of %d MiB: %d MiB, want %d", host/mib, got/mib, want/mib)
		}
	}
}

func TestAddShare(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &Settings{}
	for _, tt := range []struct {
		path     string
		readOnly bool
		changed  bool
		shares   int
	}{
		{dir, false, true, 1},
		{dir, false, false, 1},
		{sub, false, false, 1}, // lies in one
		{sub, true, true, 2},   // but not read-only
		{dir, true, true, 2},   // changes the first
	} {
		changed, err := s.AddShare(tt.path, tt.readOnly)
		if err != nil || changed != tt.changed || len(s.Shares) != tt.shares {
			t.Errorf("add %s %v: %v, %v, %+v", tt.path, tt.readOnly, changed, err, s.Shares)
		}
	}
	for _, bad := range []string{"/", "/usr", "/etc/ssl", "/proc", "/var/lib", "/no/such/folder"} {
		if _, err := s.AddShare(bad, false); err == nil {
			t.Errorf("%s became a share", bad)
		}
	}
}
