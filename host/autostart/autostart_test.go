package autostart

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"naru/platform/paths"
)

var update = flag.Bool("update", false, "write the golden files anew")

var places = map[string]Place{
	"linux":   {OS: "linux", Daemon: `/opt/na ru/50%/$x/naru-machine`, Home: paths.Home("/home/me & you/.naru"), User: "/home/me & you"},
	"darwin":  {OS: "darwin", Daemon: "/usr/local/bin/naru-machine", Home: paths.Home("/Users/me & <you>/.naru"), User: "/Users/me & <you>"},
	"windows": {OS: "windows", Daemon: `C:\Program Files\naru\naru-machine.exe`, Home: paths.Home(`C:\Users\me & you\AppData\Local\naru`), User: `C:\Users\me & you`},
}

// TestGolden: what is written for each system is what was looked at, and XML where it has to be.
func TestGolden(t *testing.T) {
	for name, place := range places {
		plan, err := place.Make()
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, f := range plan.Files {
			got.WriteString("==> " + filepath.ToSlash(f.Path) + " <==\n" + f.Text)
			if strings.HasPrefix(f.Text, "<?xml") {
				wellFormed(t, f.Text)
			}
		}
		for _, c := range append(plan.Enable, plan.Disable...) {
			got.WriteString("$ " + filepath.ToSlash(strings.Join(c, " ")) + "\n")
		}
		file := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || got.String() != string(want) {
			t.Errorf("%s: %v; got\n%s", name, err, got.String())
		}
	}
}

func wellFormed(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Errorf("%v in %s", err, text)
			return
		}
	}
}

// TestSystemdTakesTheUnits: systemd itself reads them without a complaint.
func TestSystemdTakesTheUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skipf("%v; it is part of systemd", err)
	}
	dir := t.TempDir()
	daemon := filepath.Join(dir, "na ru-machine")
	if err := os.WriteFile(daemon, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	plan, err := Place{OS: "linux", Daemon: daemon, Home: paths.Home(filepath.Join(dir, "home")), User: dir}.Make()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--user", "--man=no", "--recursive-errors=no", "verify"}
	for _, f := range plan.Files {
		if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.Path, []byte(f.Text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, f.Path)
	}
	cmd := exec.Command("systemd-analyze", args...)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), dir) {
		t.Errorf("%v: %s", err, out)
	}
}
