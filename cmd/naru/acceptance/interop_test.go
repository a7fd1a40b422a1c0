package acceptance

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ociFolder is where scripts/ocitools puts skopeo and podman.
var ociFolder = filepath.Join(root, ".cache/ocitools")

// interopProlog has what the scripts share. An image's facts are its ID, which is the digest of its config, and the digests of its
// unpacked layers; its files are those below /t and the program, with all that an archive says of them.
const interopProlog = `set -o pipefail
sum() { sha256sum | cut -c1-64; }
naru_facts() { naru image inspect -f '{{.Id}} {{json .RootFS.Layers}}' $1; }
docker_facts() { docker image inspect -f '{{.Id}} {{json .RootFS.Layers}}' $1; }
podman_facts() { podman image inspect -f 'sha256:{{.Id}} {{json .RootFS.Layers}}' $1; }
naru_pull() { naru pull -q $1 >/dev/null; same "facts docker://$1" "naru_facts $1"; naru_files $1; naru run --rm $1 | grep -c Hello; naru rmi $1 >/dev/null; }
facts() { echo "sha256:$(skopeo inspect --config --raw $1 | sum) $(skopeo inspect --config --raw $1 | python3 -c 'import json,sys; print(json.dumps(json.load(sys.stdin)["rootfs"]["diff_ids"], separators=(",", ":")))')"; }
manifest() { skopeo inspect --raw $1 | sum; }
files() { python3 $ROOT/cmd/naru/acceptance/testdata/interop/files.py "$@"; }
naru_files() { local c; c=$(naru create $1 x) && naru export $c | files; naru rm $c >/dev/null; }
docker_files() { local c; c=$(docker create $1 x) && docker export $c | files; docker rm $c >/dev/null; }
podman_files() { local c; c=$(podman create $1 x) && podman export $c | files; podman rm $c >/dev/null 2>&1; }
same() { local a b; a=$($1) && b=$($2) && test "$a" = "$b" && echo same || echo "$a is not $b"; }
`

// interopRows each run in a folder of their own. $ONE is an image in Docker's format that naru has pulled, $MADE one that naru has committed
// and $BUILT one that it has built; both are pushed. What is said of them is in $FACTS, $FILES and $MANIFEST, $MADEFACTS and so on. $T has
// OCI layouts: loose has an image of uncompressed layers, index one for two platforms with attestations. $TO is a name in the registry.
var interopRows = []row{
	{name: "save: skopeo reads a docker-archive", script: `naru save -o s.tar $ONE; facts docker-archive:s.tar; skopeo inspect docker-archive:s.tar:$ONE | grep -c Layers; skopeo copy -q docker-archive:s.tar:$ONE dir:d; facts dir:d`,
		stdout: "$FACTS\n1\n$FACTS\n"},
	{name: "save: skopeo reads an oci-archive", script: `naru save -o s.tar $ONE; facts oci-archive:s.tar; manifest oci-archive:s.tar; skopeo copy -q --preserve-digests oci-archive:s.tar docker://$TO; manifest docker://$TO; naru save -o s.tar $MADE; facts oci-archive:s.tar:1`,
		stdout: "$FACTS\n$MANIFEST\n$MANIFEST\n$MADEFACTS\n"},
	{name: "save of several: skopeo, podman and docker find each", script: `naru save $ONE $MADE $BUILT >s.tar; for i in $ONE $MADE $BUILT; do facts docker-archive:s.tar:$i; done; podman load -q -i s.tar | wc -l; docker load -qi s.tar | wc -l
for i in $ONE $MADE $BUILT; do podman_facts $i; docker_facts $i; podman rmi $i >/dev/null; docker rmi $i >/dev/null; done`,
		stdout: "$FACTS\n$MADEFACTS\n$BUILTFACTS\n3\n3\n$FACTS\n$FACTS\n$MADEFACTS\n$MADEFACTS\n$BUILTFACTS\n$BUILTFACTS\n"},
	{name: "save by ID", script: `naru save $(naru images -q --no-trunc $ONE) >s.tar; facts docker-archive:s.tar; skopeo inspect docker-archive:s.tar | grep -c RepoTags; docker load -qi s.tar; docker rmi ${FACTS%% *} >/dev/null`,
		stdout: "$FACTS\n1\nLoaded image ID: $ID\n"},

	{name: "load: skopeo's docker-archive", script: `skopeo copy -q docker://$ONE docker-archive:s.tar:$N:1; naru load -qi s.tar; naru_facts $N:1; naru_files $N:1; naru run --rm $N:1 | grep -c Hello; naru rmi $N:1`,
		stdout: "Loaded image: $N:1\n$FACTS\n$FILES\n1\nUntagged: $N:1\n"},
	{name: "load: skopeo's oci-archive", script: `skopeo copy -q --format oci docker://$ONE oci-archive:s.tar:$N:1; naru load -qi s.tar; same "facts oci-archive:s.tar" "naru_facts $N:1"; naru_files $N:1; naru rmi $N:1 | sed -n 1p`,
		stdout: "Loaded image: $N:1\nsame\n$FILES\nUntagged: $N:1\n"},
	{name: "load: an oci-archive without a name", script: `skopeo copy -q docker://$MADE oci-archive:s.tar; naru load -qi s.tar`, stdout: "Loaded image ID: $MADEID\n"},
	{name: "load: zstd layers, xz, gzip and zstd around", script: `skopeo copy -q --dest-compress-format zstd oci:$T/loose oci-archive:s.tar:$N:1; for c in xz gzip zstd bzip2; do $c <s.tar | naru load -q; naru_facts $N:1; naru_files $N:1; naru rmi $N:1 | sed -n 1p; done`,
		stdout: strings.Repeat("Loaded image: $N:1\n$FACTS\n$FILES\nUntagged: $N:1\n", 4)},
	{name: "load: an index with attestations", script: `skopeo copy -q --all oci:$T/index oci-archive:s.tar:$N:1; naru load -qi s.tar; naru image inspect -f '{{.Architecture}} {{.Config.Labels.interop}}' $N:1; naru_files $N:1; naru rmi $N:1 | sed -n 1p`,
		stdout: "Loaded image: $N:1\namd64 amd64\n$FILES\nUntagged: $N:1\n"},
	{name: "load: podman save", script: `podman pull -q $ONE >/dev/null; podman tag $ONE $N:1; podman save -q -m $ONE $N:1 >m.tar; podman save -q --format oci-archive -o o.tar $N:1; podman rmi -f $ONE >/dev/null
naru load -qi m.tar | sed 's,localhost/,,' | sort; naru_facts localhost/$N:1; naru load -qi o.tar; same "facts oci-archive:o.tar" "naru_facts localhost/$N:1"; naru_files localhost/$N:1; naru rmi localhost/$N:1 | sed -n 1p`,
		stdout: "Loaded image: $ONE\nLoaded image: $N:1\n$FACTS\nLoaded image: localhost/$N:1\nsame\n$FILES\nUntagged: localhost/$N:1\n"},
	{name: "load: docker save", script: `docker pull -q $ONE >/dev/null; docker tag $ONE $N:1; docker save $ONE $N:1 >m.tar; docker save ${FACTS%% *} >i.tar; docker rmi $ONE $N:1 >/dev/null
naru load -qi m.tar | sort; naru_facts $N:1; naru_files $N:1; naru rmi $N:1; naru load -qi i.tar`,
		stdout: "Loaded image: $ONE\nLoaded image: $N:1\n$FACTS\n$FILES\nUntagged: $N:1\nLoaded image ID: $ID\n"},

	{name: "push: skopeo, podman and docker pull", script: `naru tag $ONE $TO; naru push -q $TO; manifest docker://$TO; for i in $TO $MADE $BUILT; do facts docker://$i; podman pull -q $i >/dev/null; podman_facts $i; podman_files $i
docker pull -q $i >/dev/null; docker_facts $i; docker_files $i; docker run --rm $i | grep -c Hello; podman rmi $i >/dev/null; docker rmi $i >/dev/null; done; naru rmi $TO | sed -n 1p`,
		stdout: "$TO\n$MANIFEST\n" + strings.Repeat("$FACTS\n", 2) + "$FILES\n$FACTS\n$FILES\n1\n" + strings.Repeat("$MADEFACTS\n", 2) + "$MADEFILES\n$MADEFACTS\n$MADEFILES\n1\n" +
			strings.Repeat("$BUILTFACTS\n", 2) + "$BUILTFILES\n$BUILTFACTS\n$BUILTFILES\n1\nUntagged: $TO\n"},
	{name: "pull: what docker has pushed", script: `docker pull -q $ONE >/dev/null; docker tag $ONE $TO; docker push -q $TO; c=$(docker create $ONE x); docker commit $c $TO-c >/dev/null; docker push -q $TO-c; docker rm $c >/dev/null
naru_pull $TO; naru pull -q $TO-c >/dev/null; same "naru_facts $TO-c" "docker_facts $TO-c"; docker rmi $ONE $TO $TO-c >/dev/null; naru rmi $TO-c | sed -n 1p`,
		stdout: "$TO\n$TO-c\nsame\n$FILES\n1\nsame\nUntagged: $TO-c\n"},
	{name: "pull: what podman has pushed", script: `podman pull -q $ONE >/dev/null; for o in '--format v2s2' '--format oci' '--format oci --compression-format zstd'; do podman push -q $o $ONE $TO; naru_pull $TO; done; podman rmi -f $ONE >/dev/null`,
		stdout: strings.Repeat("same\n$FILES\n1\n", 3)},
	{name: "pull: what skopeo has pushed", script: `for o in '--format v2s2' '--format oci' '--format oci --dest-compress-format zstd'; do skopeo copy -q $o docker://$ONE docker://$TO; naru_pull $TO; done`,
		stdout: strings.Repeat("same\n$FILES\n1\n", 3)},
	{name: "pull: uncompressed layers", script: `skopeo copy -q --preserve-digests oci:$T/loose docker://$TO; skopeo inspect --raw docker://$TO | grep -c 'layer.v1.tar"'; naru_pull $TO`, stdout: "1\nsame\n$FILES\n1\n"},
	{name: "pull: an index with attestations", script: `skopeo copy -q --all oci:$T/index docker://$TO; naru pull -q $TO >/dev/null; naru image inspect -f '{{json .RepoDigests}}' $TO | grep -c ${TO%:*}@sha256:$(manifest docker://$TO); naru_files $TO; naru run --rm $TO | grep -c Hello
naru pull -q --platform linux/arm64 $TO >/dev/null; naru image inspect -f '{{.Architecture}} {{.Config.Labels.interop}}' $TO; naru rmi $TO | sed -n 1p`,
		stdout: "1\n$FILES\n1\narm64 arm64\nUntagged: $TO\n"},
}

// interopEnv has skopeo, podman and docker in PATH. Podman and skopeo run in a mount namespace where all that they would write below
// /var/lib, /run and /dev/shm is gone at their end.
func interopEnv(t *testing.T, w *world, docker *apiEngine) []string {
	t.Helper()
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	isolated := `#!/bin/sh
export HOME=$OWN TMPDIR=$OWN
exec unshare --mount --pid --fork --mount-proc --kill-child -- sh -c 'mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /dev/shm &&
mkdir /run/u /run/w && mount -t overlay overlay -o lowerdir=/var/lib,upperdir=/run/u,workdir=/run/w /var/lib && exec "$@"' sh \
`
	for name, text := range map[string]string{
		"bin/skopeo":                         isolated + `"$OCI/bin/skopeo" "$@"` + "\n",
		"bin/podman":                         isolated + `"$OCI/bin/podman" --root "$OWN/root" --runroot "$OWN/runroot" --tmpdir "$OWN/tmp" --storage-driver vfs --conmon "$OCI/bin/conmon" --runtime "$ROOT/bin/crun" "$@"` + "\n",
		".config/containers/registries.conf": fmt.Sprintf("unqualified-search-registries = []\n[[registry]]\nlocation = %q\ninsecure = true\n", registry(t)),
		".config/containers/containers.conf": "[engine]\nevents_logger = \"none\"\nlock_type = \"file\"\ncgroup_manager = \"cgroupfs\"\n[containers]\ncgroups = \"disabled\"\n",
		".config/containers/policy.json":     `{"default": [{"type": "insecureAcceptAnything"}]}`,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(home, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := bin + ":" + filepath.Join(ociFolder, "bin")
	env := []string{"SOCKET=" + w.sh(t, "naru context inspect -f '{{.Socket}}' direct"), "OWN=" + home, "OCI=" + ociFolder, "ROOT=" + root}
	if docker != nil {
		path += ":" + dockerBin()
		env = append(env, "DOCKER_HOST=unix://"+docker.socket)
	}
	return append(env, "PATH="+path+":"+strings.TrimPrefix(w.env[0], "PATH="))
}

// TestInterop exchanges images with skopeo, podman and dockerd, by archives and through a registry. Directly: what is in an image
// and an archive does not depend on where the engine runs.
func TestInterop(t *testing.T) {
	if _, err := os.Stat(filepath.Join(ociFolder, "bin/skopeo")); err != nil {
		t.Skipf("%v; run `scripts/ocitools`", err)
	}
	w := inContext(t, "direct")
	docker := startDocker(t)
	env := interopEnv(t, w, docker)
	vars := map[string]string{"T": filepath.Join(w.work, "interop")}
	for _, name := range []string{"ONE", "MADE", "BUILT"} {
		vars[name] = registry(t) + "/interop/" + strings.ToLower(name) + ":1"
	}
	if err := makeInterop(vars["ONE"], vars["T"]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.exec(result{script: "rm -r interop; naru rmi -f $(naru images -q --filter label=interop)"}) })
	w.sh(t, interopProlog+interopStart, append(env, environ(vars)...)...)
	for _, name := range []string{"ONE", "MADE", "BUILT"} {
		of := strings.TrimPrefix(name, "ONE")
		vars[of+"FACTS"] = w.sh(t, interopProlog+"naru_facts $"+name, append(env, environ(vars)...)...)
		vars[of+"ID"], _, _ = strings.Cut(vars[of+"FACTS"], " ")
		vars[of+"FILES"] = w.sh(t, interopProlog+"naru_files $"+name, append(env, environ(vars)...)...)
	}
	vars["MANIFEST"] = w.sh(t, interopProlog+"manifest docker://$ONE", append(env, environ(vars)...)...)
	pick, err := regexp.Compile(os.Getenv("NARU_TEST_ROW"))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range interopRows {
		if !pick.MatchString(r.name) {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			if docker == nil && strings.Contains(r.script, "docker ") {
				t.Skip("there is no dockerd that runs here; run `scripts/peers`")
			}
			own := maps.Clone(vars)
			own["N"], own["TO"] = fmt.Sprintf("interop%d", i), fmt.Sprintf("%s/interop/to%d:1", registryAddr, i)
			res := w.exec(result{script: interopProlog + r.script, dir: own["N"], extra: append(env, environ(own)...)})
			res.script = r.script
			check(t, r, res, replacer(own))
			w.exec(result{script: "rm -r " + own["N"]})
		})
	}
}

// interopStart makes the images. A build without buildx is a request that any docker CLI can send.
const interopStart = `naru pull -q $ONE && c=$(naru create $ONE) && echo new >new && naru cp new $c:/t/added && naru commit -c 'ENV MADE=yes' $c $MADE && naru rm $c && naru push -q $MADE &&
printf 'FROM %s\nCOPY new /t/copied\nWORKDIR /t/sub' $ONE >Dockerfile && tar -c Dockerfile new | curl -sSf --unix-socket ${SOCKET#unix://} -H 'Content-Type: application/x-tar' --data-binary @- "http://x/build?t=$BUILT" && naru push -q $BUILT; r=$?; rm new Dockerfile; exit $r`

func environ(vars map[string]string) []string {
	var out []string
	for k, v := range vars {
		out = append(out, k+"="+v)
	}
	return out
}
