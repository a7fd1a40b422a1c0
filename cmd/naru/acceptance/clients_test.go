package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// clientsFolder holds programs for Node that use npm's Docker clients, and the stand-in for Testcontainers' Ryuk, whose image
// is only on Docker Hub.
var clientsFolder = filepath.Join(root, "cmd/naru/acceptance/testdata/clients")

// clientFlows are the programs with the environment that they need.
var clientFlows = []struct{ name, env string }{
	{"dockerode", "X=x"},
	{"testcontainers", "TESTCONTAINERS_RYUK_DISABLED=true"},
	{"ryuk", "RYUK_CONTAINER_IMAGE=naru-test/reaper:1"},
}

// TestClients runs them against naru's socket. STEP, a regular expression, picks steps of them.
func TestClients(t *testing.T) {
	modules := filepath.Join(root, ".cache/clients/node_modules")
	if _, err := os.Stat(modules); err != nil {
		t.Skipf("%v; run `scripts/clients`", err)
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skipf("%v; run `scripts/setup test`", err)
	}
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			img := w.image(t, "bookworm")
			loadReaper(t, w)
			env := []string{
				"NODE_PATH=" + modules, "NODE_NO_WARNINGS=1", "IMG=" + img, "REG=" + registryAddr, "STEP=" + os.Getenv("STEP"), "SHARED=" + w.work,
				"DOCKER_HOST=" + w.sh(t, "naru context inspect -f '{{.Socket}}' "+name), "TESTCONTAINERS_REUSE_ENABLE=true",
				"TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1", // else it looks for the host's address when this test runs in a container
			}
			for _, flow := range clientFlows {
				t.Run(flow.name, func(t *testing.T) {
					r := w.exec(result{script: "node " + filepath.Join(clientsFolder, flow.name+".js"), extra: append([]string{flow.env}, env...)})
					t.Log(strings.ReplaceAll(r.stdout, "\n", "\n\t"))
					if r.code != 0 {
						t.Errorf("exit code %d\n%s", r.code, r.stderr)
					}
				})
			}
		})
	}
}

// loadReaper builds the reaper and makes an image of it, with the label by which it knows itself, as Ryuk's has. It waits a
// second for a client, not ten.
func loadReaper(t *testing.T, w *world) {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, "reaper"), "./testdata/clients/reaper")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the reaper: %v\n%s", err, out)
	}
	w.sh(t, "tar -c -C "+dir+` reaper | naru import -c 'ENTRYPOINT ["/reaper"]' -c 'ENV RYUK_RECONNECTION_TIMEOUT=1s' -c 'LABEL org.testcontainers.ryuk=true' - naru-test/reaper:1`)
}
