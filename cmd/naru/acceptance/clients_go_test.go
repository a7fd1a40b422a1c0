package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGoClients: Testcontainers for Go, and act, which runs workflows of GitHub Actions. Both have modules of their own, so that they
// are none of naru's dependencies. Directly: in the VM it is testcontainers for Node that publishes ports and builds.
func TestGoClients(t *testing.T) {
	flow := buildClient(t, "testcontainers-go", ".")
	act := buildClient(t, "act", "github.com/nektos/act")
	for _, name := range contexts[:1] {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			env := []string{
				"IMG=" + w.image(t, "bookworm"), "POSTGRES=" + w.image(t, "postgres"), "DOCKER_HOST=" + w.sh(t, "naru context inspect -f '{{.Socket}}' "+name),
				"TESTCONTAINERS_RYUK_DISABLED=true", "TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1",
			}
			left := `naru ps -aq; naru volume ls -q | grep -v act-toolcache; naru network ls --format '{{.Name}}' | sort`
			before := w.exec(result{script: left}).stdout
			t.Run("testcontainers-go", func(t *testing.T) {
				r := w.exec(result{script: flow, extra: env})
				t.Log(r.stdout)
				if r.code != 0 {
					t.Error(r)
				}
			})
			t.Run("act", func(t *testing.T) { runWorkflow(t, w, act, env) })
			if after := w.exec(result{script: left}).stdout; after != before {
				t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// buildClient builds a package of the module in testdata/clients/FOLDER.
func buildClient(t *testing.T, folder, pkg string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), folder)
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, pkg)
	build.Dir, build.Env = filepath.Join(clientsFolder, folder), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", folder, err, out)
	}
	return program
}

// runWorkflow runs testdata/clients/act/ci.yaml in a repository, and looks for what its steps print.
func runWorkflow(t *testing.T, w *world, act string, env []string) {
	t.Helper()
	t.Cleanup(func() { w.exec(result{script: "rm -r repo; naru volume rm act-toolcache"}) })
	r := w.exec(result{extra: append(env[:len(env):len(env)], "ACT="+act, "FLOW="+filepath.Join(clientsFolder, "act/ci.yaml")), script: `
mkdir -p repo && cd repo && git init -q && echo source >code && git -c user.name=a -c user.email=a@b.c add code && git -c user.name=a -c user.email=a@b.c commit -qm code
$ACT -W $FLOW -P ubuntu-latest=$IMG --pull=false --bind --rm </dev/null 2>&1`})
	for _, line := range []string{"code is here, everywhere, 42", "kept in repo", "something of 1", "something of 2"} {
		if strings.Count(r.stdout, "| "+line+"\n") != 1 {
			t.Errorf("no step says %q", line)
		}
	}
	if r.code != 0 || strings.Contains(r.stdout, "| never\n") || t.Failed() {
		t.Error(r)
	}
}
