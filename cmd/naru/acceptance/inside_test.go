package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// inside runs a script where the containers are: in the keeper's mount namespace, or in the VM.
func (w *world) inside(t *testing.T, script string) string {
	t.Helper()
	if w.context == "machine" {
		return w.sh(t, "naru machine shell "+quote(script))
	}
	pids := w.processes("naru-keeper")
	if len(pids) == 0 {
		t.Fatal("no naru-keeper runs")
	}
	return w.sh(t, fmt.Sprintf("nsenter -t %d -m sh -c %s", pids[0], quote(script)))
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// processes returns the pids on this host of the programs named program whose command line names w's folder.
func (w *world) processes(program string) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		cmdline, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		argv := strings.Split(string(cmdline), "\x00")
		if strings.HasPrefix(filepath.Base(argv[0]), program) && strings.Contains(string(cmdline), w.home) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// killEngine ends the engine with SIGKILL, wherever it runs.
func (w *world) killEngine(t *testing.T) {
	t.Helper()
	if w.context == "machine" {
		w.inside(t, "kill -9 $(pidof naru-engine)")
		return
	}
	pids := w.processes("naru-engine")
	if len(pids) != 1 {
		t.Fatalf("engines: %v", pids)
	}
	w.sh(t, fmt.Sprintf("kill -9 %d", pids[0]))
}
