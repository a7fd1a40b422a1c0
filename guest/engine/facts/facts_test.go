package facts

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"naru/guest/runtime"
)

// What a version 1 lacks by its nature, or version 2, is no warning.
func TestWarnings(t *testing.T) {
	two := Cgroup{&runtime.Kernel{CgroupV2: true, Memory: true, Swap: true, CPUShares: true, CPUQuota: true, Pids: true}}
	want := []string{
		"WARNING: No cpuset support", "WARNING: No io.weight support", "WARNING: No io.weight (per device) support",
		"WARNING: No io.max (rbps) support", "WARNING: No io.max (wbps) support", "WARNING: No io.max (riops) support", "WARNING: No io.max (wiops) support",
	}
	if got := two.Warnings(); two.Version() != "2" || !slices.Equal(got, want) {
		t.Errorf("version 2: %q", got)
	}
	one := Cgroup{&runtime.Kernel{
		Memory: true, OomKillDisable: true, CPUShares: true, CPUQuota: true, Cpuset: true, Pids: true, ReadBps: true, WriteBps: true, ReadIOps: true,
	}}
	want = []string{"WARNING: No swap limit support", "WARNING: No blkio throttle.write_iops_device support"}
	if got := one.Warnings(); one.Version() != "1" || !slices.Equal(got, want) {
		t.Errorf("version 1: %q", got)
	}
}

func TestPrograms(t *testing.T) {
	if got := parseRuntime("crun version 1.21\ncommit: 1026\nspec: 1.0.0\n"); got != (Program{Version: "1.21", Commit: "1026"}) {
		t.Errorf("crun: %+v", got)
	}
	if got := parseInit("tini version 0.19.0 - git.de40ad0\n"); got != (Program{Version: "0.19.0", Commit: "de40ad0"}) {
		t.Errorf("tini: %+v", got)
	}
	if got := parseInit("tini version 0.19.0\n"); got != (Program{Version: "0.19.0"}) {
		t.Errorf("Debian's tini: %+v", got)
	}
	var p Programs
	script := filepath.Join(t.TempDir(), "crun")
	text := "#!/bin/sh\n[ \"$1\" = features ] && echo '{}' || echo crun version 9\necho >>\"$0.asked\"\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := p.Runtime(t.Context(), script); got != (Program{Version: "9", Features: "{}"}) {
			t.Errorf("told: %+v", got)
		}
	}
	if asked, _ := os.ReadFile(script + ".asked"); len(asked) != 2 {
		t.Errorf("asked %d times, want once for each document", len(asked))
	}
	if got := p.Init(t.Context(), ""); got != (Program{}) {
		t.Errorf("no program: %+v", got)
	}
}

func TestProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "")
	t.Setenv("http_proxy", "http://me:se@cret@proxy:8080/x@y")
	if got := Proxy("HTTP_PROXY"); got != "http://xxxxx:xxxxx@proxy:8080/x@y" {
		t.Error(got)
	}
	if Kernel() == "" || Architecture() == "" || Memory() == 0 || OpenFiles() == 0 || OperatingSystem() == "" {
		t.Error("a fact is missing")
	}
}
