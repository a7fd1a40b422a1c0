package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// peersFolder is where scripts/peers puts Docker of two ages.
var peersFolder = filepath.Join(root, ".cache/peers")

// dockerRows are the same for each docker CLI and in each context. $IMG is a Debian with python3, $REG the registry.
var dockerRows = []row{
	{name: "version", script: `docker version --format '{{.Server.Os}}/{{.Server.Arch}}' && docker info --format '{{.OSType}} {{.Driver}}'`, stdout: "linux/amd64\nlinux overlay2\n"},
	{name: "pull", script: `docker rmi $IMG >/dev/null; docker pull $IMG | tail -n 1; docker pull $IMG | grep Status; docker pull -q $IMG`,
		stdout: "$IMG:latest\nStatus: Image is up to date for $IMG:latest\n$IMG:latest\n"},
	{name: "pull of what is not there", script: `docker pull -q $REG/nosuch`, stderr: `Error response from daemon: .*nosuch.*(not found|unknown)`, code: 1},
	{name: "images", script: `docker images --format '{{.Repository}}:{{.Tag}}' $IMG; docker images -q $IMG | wc -c; docker images -q nosuch`, stdout: "$IMG:latest\n13\n"},
	{name: "inspect an image", script: `docker inspect -f '{{.Os}} {{.Config.Cmd}} {{.Config.Labels.program}} {{len .RootFS.Layers}} {{len .RepoDigests}}' $IMG`, stdout: "linux [bash] redis-server 2 1\n"},
	{name: "tag, untag", script: `docker tag $IMG $N:x && docker run --rm $N:x echo tagged && docker rmi $N:x && docker image inspect $N:x`,
		stdout: "tagged\nUntagged: $N:x\n[]\n", stderr: `No such image: $N:x`, code: 1},
	{name: "save, load, import", script: `tar -c --files-from /dev/null | docker import - $N:i >/dev/null && docker save $N:i >i.tar && docker rmi $N:i >/dev/null && docker load -q <i.tar; rm i.tar; docker rmi $N:i | head -n 1`,
		stdout: "Loaded image: $N:i\nUntagged: $N:i\n"},

	{name: "run", script: `docker run --rm $IMG sh -c 'echo out; echo err >&2; exit 3'`, stdout: "out\n", stderr: `^err\n$`, code: 3},
	{name: "run, with input", script: `seq 100000 | docker run --rm -i $IMG sha256sum; seq 100000 | sha256sum`, stdout: strings.Repeat("b2bc7d3f8b652d2ec96865b68ad8f80e22cca174abe1aed7889e242a747d590f  -\n", 2)},
	{name: "run, command not found", script: `docker run --rm $IMG nosuch`, stderr: `exec: "nosuch": executable file not found in \$PATH`, code: 127},
	{name: "run, not executable", script: `docker run --rm $IMG /etc/passwd`, stderr: `permission denied`, code: 126},
	{name: "run, unknown image", script: `docker run --rm $REG/nosuch true`, stderr: `Unable to find image '$REG/nosuch:latest' locally`, code: 125},
	{name: "run, unknown network: the image is not pulled for it", script: `docker run --rm --network nosuch $IMG true`, stderr: `docker: Error response from daemon: network nosuch not found`, code: 125},
	{name: "run, killed", script: `docker run --rm --name $N $IMG sh -c 'echo up; exec sleep 1000' | while read line; do docker kill $N; done; echo ${PIPESTATUS[0]}`, stdout: "$N\n137\n"},
	{name: "run, a signal to the CLI", script: `docker run --rm --name $N $IMG sh -c 'trap "exit 7" TERM; echo up; while :; do sleep 0.1; done' & P=$!; until docker logs $N 2>/dev/null | grep -q up; do sleep 0.1; done; kill -TERM $P; wait $P`, stdout: "up\n", code: 7},
	{name: "run -d, logs, wait, rm", script: `docker run -d --name $N $IMG sh -c 'echo one; sleep 0.5; echo two >&2; exit 4' | wc -c; docker logs -f $N 2>&1; docker wait $N; docker logs --tail 1 $N; docker rm $N; docker rm $N`,
		stdout: "65\none\ntwo\n4\n$N\n", stderr: `^two\nError.*: No such container: $N\n$`, code: 1},
	{name: "logs -t", script: `docker run --name $N $IMG echo x >/dev/null; docker logs -t $N | grep -cE '^20[0-9-]*T[0-9:.]*Z x$'`, stdout: "1\n"},
	{name: "ps", script: `docker run -d --name $N --label l=$N $IMG sleep 1000 >/dev/null; docker ps -f label=l=$N --format '{{.Names}} {{.Image}} {{.Command}} {{.State}}'; docker kill $N; docker ps -q -f label=l=$N; docker ps -a -f label=l=$N --format '{{.Names}} {{.State}}'`,
		stdout: "$N $IMG \"sleep 1000\" running\n$N\n$N exited\n"},
	{name: "exec", script: `docker run -d --name $N $IMG sleep 1000 >/dev/null; docker exec $N echo hi; echo in | docker exec -i $N cat; docker exec -u nobody -w /tmp -e A=b $N sh -c 'id -un; pwd; echo $A; exit 9'`, stdout: "hi\nin\nnobody\n/tmp\nb\n", code: 9},
	{name: "exec, command not found", script: `docker run -d --name $N $IMG sleep 1000 >/dev/null; docker exec $N nosuch; echo $?; docker exec -t $N nosuch >&2; echo $?`, stdout: "127\n127\n",
		stderr: `(?s)exec: "nosuch": executable file not found in \$PATH.*exec: "nosuch": executable file not found in \$PATH`},
	{name: "exec, no container", script: `docker exec $N true`, stderr: `No such container: $N`, code: 1},
	{name: "stop in time and too late", script: `docker run -d --name $N $IMG sh -c 'trap "exit 5" TERM; echo up; while :; do sleep 0.1; done' >/dev/null; until docker logs $N | grep up; do sleep 0.1; done; docker stop $N; docker inspect -f '{{.State.ExitCode}}' $N
docker run -d --name ${N}b $IMG sleep 1000 >/dev/null; docker stop -t 1 ${N}b; docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' ${N}b`, stdout: "up\n$N\n5\n${N}b\nexited 137\n"},
	{name: "create, start -a, restart, rename", script: `docker create --name $N $IMG sh -c 'echo again; exit 2' >/dev/null; docker start -a $N; echo $?; docker restart $N; docker wait $N; docker rename $N ${N}b; docker logs ${N}b`, stdout: "again\n2\n$N\n2\nagain\nagain\n"},
	{name: "attach", script: `docker run -d --name $N $IMG sh -c 'sleep 1; echo late; exit 6' >/dev/null; docker attach $N`, stdout: "late\n", code: 6},
	{name: "rm -f of a container of --rm", script: `docker run -d --rm --name $N $IMG sleep 1000 >/dev/null; docker rm -f $N; docker ps -aq -f name=$N`, stdout: "$N\n"},
	{name: "rm of a running container", script: `docker run -d --name $N $IMG sleep 1000 >/dev/null; docker rm $N`, stderr: `cannot remove container "/?$N": container is running`, code: 1},
	{name: "restart policy", script: `docker run -d --name $N --restart on-failure:2 $IMG false >/dev/null; docker wait $N; until [ "$(docker inspect -f '{{.State.Status}} {{.RestartCount}}' $N)" = 'exited 2' ]; do sleep 0.1; done; docker inspect -f '{{.State.ExitCode}}' $N`, stdout: "1\n1\n"},
	{name: "limits", script: `docker run --rm -m 64m --cpus 0.5 --pids-limit 20 $IMG true && docker run --name $N -m 64m --pids-limit 20 $IMG true && docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}' $N`, stdout: "67108864 20\n"},
	{name: "init, user, environment, host name", script: `docker run --rm --init -u 1000:1000 -e A=b -h box -w /tmp $IMG sh -c 'cat /proc/1/comm; id -u; echo $A; hostname; pwd'`, stdout: "docker-init\n1000\nb\nbox\n/tmp\n"},

	{name: "volume", script: `docker volume create $N; docker run --rm -v $N:/v $IMG sh -c 'echo kept >/v/f'; docker run --rm -v $N:/v:ro $IMG sh -c 'cat /v/f; touch /v/g' ; docker volume ls -q -f name=$N; docker volume inspect -f '{{.Driver}} {{.Scope}}' $N; docker volume rm $N; docker volume rm $N`,
		stdout: "$N\nkept\n$N\nlocal local\n$N\n", stderr: `Read-only file system\n(.|\n)*[Nn]o such volume`, code: 1},
	{name: "volume in use", script: `docker run -d --name $N -v $N:/v $IMG sleep 1000 >/dev/null; docker volume rm $N; docker rm -f $N >/dev/null; docker volume rm $N`, stdout: "$N\n", stderr: `volume is in use`},
	{name: "bind mount", script: `mkdir $N; echo host >$N/f; docker run --rm -v "$PWD/$N":/b $IMG sh -c 'cat /b/f; echo container >/b/g'; cat $N/g; rm -r $N; docker run --rm --mount type=bind,source=/nosuch/$N,target=/b $IMG true`,
		stdout: "host\ncontainer\n", stderr: `/nosuch/$N`, code: 125},
	{name: "published port", script: `docker run -d --name $N -p 127.0.0.1::8000 -e CODE $IMG sh -c 'python3 -c "$CODE"' >/dev/null
docker exec $N bash -c 'until exec 3<>/dev/tcp/127.0.0.1/8000; do sleep 0.1; done 2>/dev/null'
P=$(docker port $N 8000 | sed 's/.*://'); exec 3<>/dev/tcp/127.0.0.1/$P; cat <&3; docker ps -f name=$N --format '{{.Ports}}' | sed "s/:$P/:P/"
docker run --rm -p 127.0.0.1:$P:80 $IMG true; echo $?`, stdout: "3.11\n127.0.0.1:P->8000/tcp\n125\n", stderr: `port is already allocated|address already in use`},
	{name: "networks", script: `docker network ls --format '{{.Name}} {{.Driver}}'; docker run --rm --network none $IMG cat /sys/class/net/lo/operstate; docker run --rm --network none $IMG ls /sys/class/net`, stdout: "bridge bridge\nhost host\nnone null\nunknown\nlo\n"},
	{name: "events", script: `docker run --name $N $IMG true; docker rm $N >/dev/null; docker run --rm $IMG sleep 1.1; docker events --since 5m --until 0s -f container=$N --format '{{.Action}}' | grep -v attach`, stdout: "create\nstart\ndie\ndestroy\n"},
	{name: "pause", script: `docker run -d --name $N $IMG sleep 1000 >/dev/null; docker pause $N; docker inspect -f '{{.State.Status}}' $N; docker unpause $N`, stdout: "$N\npaused\n$N\n"},
}

// TestDocker is naru's socket in the hands of two docker CLIs that are five years apart.
func TestDocker(t *testing.T) {
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			img := w.image(t, "bookworm")
			socket := w.sh(t, "naru context inspect -f '{{.Socket}}' "+name)
			for _, cli := range []string{"docker-20.10", "docker-28"} {
				t.Run(cli, func(t *testing.T) {
					bin := filepath.Join(peersFolder, cli, "bin")
					if _, err := os.Stat(filepath.Join(bin, "docker")); err != nil {
						t.Skipf("%v; run `scripts/peers`", err)
					}
					path := bin + ":" + strings.TrimPrefix(w.env[0], "PATH=")
					t.Setenv("PATH", path) // for exec.LookPath
					testDocker(t, w, img, cli, []string{"PATH=" + path, "DOCKER_HOST=" + socket})
				})
			}
		})
	}
}

func testDocker(t *testing.T, w *world, img, cli string, env []string) {
	for i, r := range dockerRows {
		t.Run(r.name, func(t *testing.T) {
			n := fmt.Sprintf("%s-%d", cli, i)
			res := w.exec(result{script: r.script, extra: append([]string{"IMG=" + img, "N=" + n, "REG=" + registryAddr, "CODE=" + server}, env...)})
			check(t, r, res, strings.NewReplacer("${N}", n, "$IMG", img, "$N", n, "$REG", registryAddr))
			w.exec(result{script: "docker rm -f -v " + n + " " + n + "b; docker volume rm " + n, extra: env})
		})
	}
	t.Run("terminal", func(t *testing.T) {
		defer w.exec(result{script: "docker rm -f " + cli + "-terminal", extra: env})
		testTerminal(t, w, env, img, cli+"-terminal")
	})
}
