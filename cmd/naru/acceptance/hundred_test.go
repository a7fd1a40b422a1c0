package acceptance

import (
	"encoding/json"
	"testing"
)

// TestHundred: a hundred containers share the one VM.
func TestHundred(t *testing.T) {
	w := inContext(t, "machine")
	img := w.image(t, "bookworm")
	w.sh(t, `for i in $(seq 100); do naru run -d --name many$i `+img+` sleep 10000 >/dev/null || exit; done`)
	if got := w.sh(t, "naru ps -q -f name=many | wc -l"); got != "100" {
		t.Errorf("%s containers run, want 100", got)
	}
	if vms := w.processes("qemu-system"); len(vms) != 1 {
		t.Errorf("%d VMs run, want one", len(vms))
	}
	var status struct {
		State      string `json:"state"`
		HostMemory uint64 `json:"hostMemory"`
	}
	out := w.sh(t, "naru machine status --format json")
	if err := json.Unmarshal([]byte(out), &status); err != nil || status.State != "running" || status.HostMemory == 0 {
		t.Errorf("machine status: %v: %s", err, out)
	}
	t.Logf("a hundred containers in the VM: %d MiB on the host", status.HostMemory>>20)
	w.sh(t, `naru ps -q -f name=many | xargs naru rm -f >/dev/null`)
}
