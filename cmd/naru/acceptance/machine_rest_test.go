package acceptance

import (
	"strings"
	"testing"
	"time"
)

// TestMachineRests: with nothing running the VM goes, a ping and a look at the status leave it so, the next command wakes it,
// and what it had is there. Then the data goes to another machine through export and import.
func TestMachineRests(t *testing.T) {
	w := newMachine(t)
	w.sh(t, "naru machine set --idle 3s --disk 8g && naru volume create kept && naru create --name waits hello")
	awaitIdle(t, w)
	ping := "curl -sf --max-time 20 --unix-socket " + w.home + "/machine/docker.sock http://x/_ping"
	if out := w.sh(t, ping); out != "OK" {
		t.Errorf("ping: %q", out)
	}
	if s := w.sh(t, "naru machine status --format '{{.State}} {{.VMPid}}'"); s != "idle 0" {
		t.Errorf("after a ping: %s", s)
	}
	start := time.Now()
	if out := w.sh(t, "naru start -a waits"); !strings.Contains(out, "naru") && out == "" {
		t.Errorf("the container said %q", out)
	}
	t.Logf("a container ran %v after the call that woke the machine", time.Since(start).Round(100*time.Millisecond))
	if out := w.sh(t, "naru volume ls -q"); out != "kept" {
		t.Errorf("volumes: %q", out)
	}
	if r := w.exec(result{script: "naru machine export -o all.zst"}); r.code != 1 || !strings.Contains(r.stderr, "machine stop") {
		t.Errorf("export while it runs: %v", r)
	}
	w.sh(t, "naru machine stop && naru machine export -o all.zst && ls -l all.zst >&2")
	other := newMachine(t)
	other.sh(t, "naru machine import -i "+w.work+"/all.zst")
	if out := other.sh(t, "naru volume ls -q && naru ps -aq --filter name=waits | wc -l"); out != "kept\n1" {
		t.Errorf("the other machine has %q", out)
	}
}

func awaitIdle(t *testing.T, w *world) {
	t.Helper()
	start := time.Now()
	for w.sh(t, "naru machine status --format '{{.State}} {{.VMPid}}'") != "idle 0" { // the VM takes its time to power off
		if time.Since(start) > time.Minute {
			t.Fatal("the machine is not put to rest")
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("at rest after %v", time.Since(start).Round(100*time.Millisecond))
}
