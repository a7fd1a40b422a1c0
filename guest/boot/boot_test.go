package boot

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"naru/guest/api"
)

func TestParseConfigRefusesAnotherVersion(t *testing.T) {
	for doc, want := range map[string]string{
		`{"version":2,"token":7}`: "one release", // before anything else of the document is looked at
		`{"version":1}`:           "token",
		`version`:                 "parse",
	} {
		if _, err := parseConfig([]byte(doc)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", doc, err, want)
		}
	}
	c, err := parseConfig([]byte(`{"version":1,"token":"t","hostname":"h","unknown":true}`))
	if err != nil || c.Hostname != "h" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestCheckShareKeepsTheGuestsOwnFolders(t *testing.T) {
	for _, p := range []string{"/", "/usr", "/usr/share", "/proc", "/var", "/var/lib", "/var/lib/naru/x", "work", "/a/../usr", "/a/"} {
		if checkShare(p) == nil {
			t.Errorf("%s was taken", p)
		}
	}
	for _, p := range []string{"/home/me", "/work", "/tmp/x", "/usrlocal", "/var/folders/x", "/root", "/Users/me", "/opt"} {
		if err := checkShare(p); err != nil {
			t.Error(err)
		}
	}
}

func TestConfigureRefusesAddressesThatAreNone(t *testing.T) {
	if err := configureCard(&api.Network{Address: "192.168.1"}); err == nil {
		t.Error("no error")
	}
}

// TestInspectDisk with file systems made by the real tools, on plain files.
func TestInspectDisk(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 64<<20); err != nil {
		t.Fatal(err)
	}
	inspect := func(want diskState) {
		t.Helper()
		if got, err := inspectDisk(disk); err != nil || got != want {
			t.Errorf("state %d, want %d, error %v", got, want, err)
		}
	}
	inspect(diskBlank)
	mke2fs, err := exec.LookPath("/usr/sbin/mke2fs")
	if err != nil {
		t.Skip("mke2fs is missing; run `apt-get install e2fsprogs`")
	}
	if out, err := exec.Command(mke2fs, "-q", "-F", "-t", "ext4", disk).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	inspect(diskClean)
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{3, 0}, 1024+58); err != nil { // s_state: clean, but errors were seen
		t.Fatal(err)
	}
	inspect(diskUnclean)
	if _, err := f.WriteAt([]byte("XFSB"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0, 0}, 1024+56); err != nil {
		t.Fatal(err)
	}
	inspect(diskForeign)
}
