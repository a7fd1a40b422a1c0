package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackage makes the package of this Debian, installs it in a fresh one, uses it there, and removes it: nothing of
// it is left.
func TestPackage(t *testing.T) {
	requireBuilt(t, "machine")
	requirePlugins(t)
	fresh := freshRoot(t)
	pkgs := t.TempDir()
	t.Setenv("OUT", pkgs)
	command(t, filepath.Join(root, "scripts/packages"), "linux")
	deb, err := filepath.Glob(filepath.Join(pkgs, "*.deb"))
	if err != nil || len(deb) != 1 {
		t.Fatalf("packages: %v, %v", deb, err)
	}
	in := func(script string) string {
		t.Helper()
		return command(t, "unshare", "--mount", "bash", "-ec", `mount -t proc proc "$0/proc"; exec chroot "$0" bash -ec "$1"`, fresh, script)
	}
	data, err := os.ReadFile(deb[0])
	if err != nil {
		t.Fatal(err)
	}
	before := in(packageCensus)
	if err := os.WriteFile(filepath.Join(fresh, "naru.deb"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	in("dpkg -i /naru.deb && rm /naru.deb")
	if got := in("naru --version; naru completion bash | head -1; ls /usr/share/man/man1/naru-run.1.gz /usr/share/bash-completion/completions/naru /usr/lib/systemd/system/naru.service"); !strings.HasPrefix(got, "naru 0.") && !strings.HasPrefix(got, "naru 1.") {
		t.Errorf("installed: %s", got)
	}
	if got := in("naru doctor --format json | grep -o '\"check\":\"programs\",\"status\":\"[a-z]*\"'"); got != `"check":"programs","status":"ok"` {
		t.Errorf("the doctor finds %s", got)
	}
	in("dpkg -P naru")
	if after := in(packageCensus); after != before {
		t.Errorf("removed, but not all of it:\nbefore only\n%safter only\n%s", linesOnlyIn(before, after), linesOnlyIn(after, before))
	}
}

// packageCensus lists all files but dpkg's own records.
const packageCensus = `find / -xdev \( -path /proc -o -path /sys -o -path /var/lib/dpkg -o -path /var/log -o -path /tmp \) -prune -o -print | sort`

// freshRoot unpacks the Debian of the test images.
func freshRoot(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, "tar", "-C", dir, "-xzf", filepath.Join(root, ".cache/images/bookworm.tar.gz"))
	return dir
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}
