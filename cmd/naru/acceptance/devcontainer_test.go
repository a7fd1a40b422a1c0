package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// devcontainerSteps are what an IDE does with the project in testdata/devcontainer, whose container has a feature from a local
// folder. dev is npm's devcontainer CLI; its outcome is JSON, its progress goes to stderr.
var devcontainerSteps = []struct{ name, script, want string }{
	{"up", `dev up | grep -o '"outcome":"[a-z]*"\|"remoteUser":"[a-z]*"\|"remoteWorkspaceFolder":"[^"]*"'; naru ps -f label=demo=1 -q | wc -l`,
		"\"outcome\":\"success\"\n\"remoteUser\":\"dev\"\n\"remoteWorkspaceFolder\":\"/workspaces/demo\"\n1"},
	{"exec", `dev exec sh -c 'hello; pwd; cat /cache/made code; id -un; echo $FEATURE $REMOTE; exit 3'; echo $?; echo in | dev exec cat`,
		"salve, dev of dev\n/workspaces/demo\ncreated\nstarted\nsource\ndev\non yes-demo\n3\nin"},
	{"files of the folder go both ways", `dev exec sh -c 'echo back >>code'; cat code; echo forth >>code; dev exec tail -n 1 code`, "source\nback\nforth"},
	{"build", `dev build --image-name demo:built | grep -o '"outcome":"[a-z]*"'; naru run --rm demo:built hello; naru inspect -f '{{index .Config.Labels "devcontainer.metadata"}}' demo:built | grep -o 'salve\|"id":"./hello"\|"remoteUser":"dev"' | sort -u`,
		"\"outcome\":\"success\"\nsalve, root of dev\n\"id\":\"./hello\"\n\"remoteUser\":\"dev\""},
	{"up again finds it", `dev up | grep -c '"outcome":"success"'; naru ps -a -f label=demo=1 -q | wc -l; dev exec cat /cache/made`, "1\n1\ncreated\nstarted"},
	{"up after a stop starts it", `naru stop -t 0 $(naru ps -f label=demo=1 -q) >/dev/null; dev up | grep -c '"outcome":"success"'; dev exec cat /cache/made`, "1\ncreated\nstarted\nstarted"},
	{"up from scratch", `dev up --remove-existing-container | grep -c '"outcome":"success"'; naru ps -a -f label=demo=1 -q | wc -l; dev read-configuration --include-merged-configuration | grep -o '"containerEnv":{[^}]*}' | head -1`, "1\n1\n\"containerEnv\":{\"FROM_CONFIG\":\"yes\"}"},
}

// devcontainerEverywhere is how many of the steps run in the VM too; finding, starting and replacing a container is the same to the
// engine there.
const devcontainerEverywhere = 4

const devcontainerFunctions = `cd demo; dev() { local verb=$1; shift; node $CLI $verb --workspace-folder . --docker-path $DOCKER --log-level info "$@" 2>>log || { local c=$?; [ $verb = exec ] || cat log >&2; return $c; }; }
`

// TestDevcontainer: npm's @devcontainers/cli finds an engine like Docker's.
func TestDevcontainer(t *testing.T) {
	requirePlugins(t)
	cli := filepath.Join(root, ".cache/clients/node_modules/@devcontainers/cli/devcontainer.js")
	if _, err := os.Stat(cli); err != nil {
		t.Skipf("%v; run `scripts/clients`", err)
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skipf("%v; run `scripts/setup test`", err)
	}
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			project := filepath.Join(root, "cmd/naru/acceptance/testdata/devcontainer")
			config := pluginConfig(t)
			env := []string{
				"IMG=" + w.image(t, "bookworm"), "CLI=" + cli, "DOCKER=" + filepath.Join(peersFolder, "docker-28/bin/docker"), "DOCKER_CONFIG=" + config,
				"DOCKER_HOST=" + w.sh(t, "naru context inspect -f '{{.Socket}}' "+name),
			}
			w.sh(t, "cp -r "+project+" demo; echo source >demo/code; chmod -R go+rwX demo", env...)
			t.Cleanup(func() {
				w.exec(result{script: `naru rm -fv $(naru ps -aq -f label=demo=1); naru volume rm demo-cache; naru rmi demo:built $(naru images --format '{{.Repository}}' | grep ^vsc-demo); rm -r demo`})
			})
			steps := devcontainerSteps
			if name == "machine" {
				steps = steps[:devcontainerEverywhere]
			}
			for _, step := range steps {
				if r := w.exec(result{script: devcontainerFunctions + step.script, extra: env}); strings.TrimSuffix(r.stdout, "\n") != step.want {
					t.Fatalf("%s: want %q; got %s", step.name, step.want, r)
				}
			}
		})
	}
}
