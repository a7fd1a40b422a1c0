package acceptance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// buildxSteps are verbs of buildx in the hands of a docker CLI, whose builder is the engine itself.
var buildxSteps = []struct{ name, script, want string }{
	{"ls, inspect", `docker buildx ls --format '{{.Name}} {{.DriverEndpoint}}' | head -1; docker buildx inspect | grep -E '^(Driver|Status)' | tr -s ' '`, "default docker\nDriver: docker\nStatus: running"},
	{"build", `docker buildx build -q -t bx:1 . | cut -c1-7; docker run --rm bx:1; docker buildx build --progress rawjson . 2>&1 | grep -c '"vertexes"' | grep -vx 0 >/dev/null && echo rawjson`, "sha256:\nhello world\nrawjson"},
	{"docker build, from stdin and a target", `docker build -q --target base -t bx:2 - <Dockerfile | cut -c1-7; docker run --rm bx:2 cat /base`, "sha256:\nbase"},
	{"args, labels, secrets, contexts", `echo hush >s; docker buildx build -q --build-arg WHO=you --label l=v --secret id=s,src=s --build-context other=other -t bx:3 -f full.Dockerfile . >/dev/null; docker run --rm bx:3 cat /who /from /sum; docker inspect -f '{{.Config.Labels.l}}' bx:3`, "you\nother\n5\nv"},
	{"outputs", `docker buildx build -q -o out --target files . >/dev/null; cat out/base; docker buildx build -q -o type=tar,dest=o.tar --target files . >/dev/null; tar -tf o.tar; docker buildx build -q -o type=oci,dest=oci.tar . >/dev/null; tar -tf oci.tar | grep -x index.json`, "base\nbase\nindex.json"},
	{"push, imagetools", `docker buildx build -q -t $REG/bx:1 --push . >/dev/null; docker buildx imagetools inspect $REG/bx:1 --format '{{.Image.OS}}'`, "linux"},
	{"bake", `docker buildx bake --progress quiet --load >/dev/null; docker run --rm bx:bake; docker buildx bake --print 2>/dev/null | grep -c 'bx:bake'`, "hello baked\n1"},
	{"a step that fails", `printf 'FROM bx:2\nRUN echo seen && exit 9' | docker buildx build -q - 2>&1 | grep -o 'did not complete successfully: exit code: 9' | head -1; echo ${PIPESTATUS[1]}`, "did not complete successfully: exit code: 9\n1"},
	{"du, history, prune", `docker buildx du | grep -c '^Total'; docker buildx history ls --format '{{.Status}}' | sort -u; docker buildx prune -af | grep -c '^Total'; docker rmi bx:1 bx:2 bx:3 bx:bake $REG/bx:1 | grep -c Untagged`, "1\nCompleted\nError\n1\n5"},
}

var buildxFiles = map[string]string{
	"Dockerfile":      "FROM $IMG AS base\nRUN echo base >/base\nFROM scratch AS files\nCOPY --from=base /base /base\nFROM base\nARG WHO=world\nENV WHO=$WHO\nCMD echo hello $WHO\n",
	"full.Dockerfile": "FROM $IMG\nARG WHO\nRUN echo $WHO >/who\nCOPY --from=other file /from\nRUN --mount=type=secret,id=s wc -c </run/secrets/s >/sum\n",
	"other/file":      "other\n",
	"docker-bake.hcl": "target \"default\" {\n  tags = [\"bx:bake\"]\n  args = { WHO = \"baked\" }\n}\n",
}

// TestBuildx: the docker CLI's buildx, found as a plug-in. Directly: a build in the VM is that of TestProject and TestDevcontainer.
func TestBuildx(t *testing.T) {
	requirePlugins(t)
	cli := filepath.Join(peersFolder, "docker-28/bin")
	if _, err := os.Stat(filepath.Join(cli, "docker")); err != nil {
		t.Skipf("%v; run `scripts/peers`", err)
	}
	for _, name := range contexts[:1] {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			img := w.image(t, "bookworm")
			env := []string{
				"PATH=" + cli + ":" + strings.TrimPrefix(w.env[0], "PATH="), "DOCKER_CONFIG=" + pluginConfig(t), "REG=" + registryAddr,
				"DOCKER_HOST=" + w.sh(t, "naru context inspect -f '{{.Socket}}' "+name),
			}
			for file, text := range buildxFiles {
				path := filepath.Join(w.work, "bx", file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "$IMG", img)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			t.Cleanup(func() { w.exec(result{script: "rm -r bx; docker rmi -f bx:1 bx:2 bx:3 bx:bake", extra: env}) })
			for _, step := range buildxSteps {
				if r := w.exec(result{script: step.script, dir: "bx", extra: env}); strings.TrimSuffix(r.stdout, "\n") != step.want {
					t.Errorf("%s: want %q; got %s", step.name, step.want, r)
				}
			}
		})
	}
}

// pluginConfig is a configuration with which a docker CLI finds buildx and Compose.
func pluginConfig(t *testing.T) string {
	t.Helper()
	config := t.TempDir()
	if err := os.Symlink(filepath.Join(root, "bin"), filepath.Join(config, "cli-plugins")); err != nil {
		t.Fatal(err)
	}
	return config
}
