package acceptance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// featureSteps go through testdata/features with all of Compose's verbs: each script prints just what is given, with naru directly and
// in the VM and, where one can be had, with a dockerd. docker is a docker CLI that talks to the same engine, $IMG the image.
var featureSteps = []struct{ name, script, want string }{
	{"config", `compose config --services | sort | tr '\n' ' '; compose --profile debug config --services | wc -l; compose config --volumes | sort | tr '\n' ' '; compose config --networks | sort | tr '\n' ' '
compose config --no-interpolate | grep -c 'GREETING:-hello'; compose config --images | wc -l; GREETING=hi compose config one | grep GREETING; IMG= compose config 2>&1 | grep -o 'required variable IMG.*'`,
		"included job one two 5\nkept named back front outer 2\n4\n      - trap 'exit 5' TERM; echo said $$GREETING; while :; do sleep 0.1; done\n      GREETING: hi\nrequired variable IMG is missing a value: set IMG to an image"},
	{"up", `docker network create --subnet 10.214.7.0/24 features-outer >/dev/null; docker volume create features-kept; compose up -d; compose up -d --wait --no-deps two included; compose ps -a --format '{{.Service}} {{.State}} {{.Health}} {{.ExitCode}}' | sort; ls made`,
		"features-kept\nincluded running  0\njob exited  0\none running healthy 0\ntwo running  0\ntwo running  0\nhere"},
	{"inside", `compose exec -T one sh -c 'hostname; cat /proc/1/comm; echo $FROM_BASE $GREETING $FROM_FILE $PASSED; cat /run/secrets/from_file /run/secrets/other; echo; stat -c "%a %u" /run/secrets/other; cat /etc/a /etc/b; echo; cat /etc/c
cat /proc/sys/net/ipv4/ip_default_ttl; grep "open files" /proc/1/limits | tr -s " " | cut -d" " -f4,5; ulimit -c; cat /named/job; touch /kept/x 2>/dev/null || echo read-only; echo x >/bind/f; stat -f -c %T /scratch /short; stat -c %a /scratch; df -k /scratch /short /dev/shm | tail -n +2 | tr -s " " | cut -d" " -f2
getent hosts elsewhere; ls /sys/class/net | wc -l; ip=$(getent hosts one | wc -l); python3 -c "import socket; print(sorted(a[4][0] for a in socket.getaddrinfo(\"two\", 1, type=socket.SOCK_STREAM)).__len__())"' 2>&1; cat made/here/f`,
		"uno\ndocker-init\nyes hello a b passed\nhush\nquiet\n444 0\nloud\nnoise\nfor hello\n42\n1000 2000\n0\ndid\nread-only\ntmpfs\ntmpfs\n1700\n1024\n64\n8192\n192.0.2.9       elsewhere\n4\n2\nx"},
	{"names", `compose exec -T --index 2 two sh -c 'for n in one eins ichi features-one-1; do getent hosts $n >/dev/null && echo $n; done; getent hosts included || echo no included; cat /proc/1/comm'; compose exec -T one sh -c 'grep -c 10.213.7.7 /proc/net/fib_trie >/dev/null && echo fixed'; compose exec -T included sh -c 'echo $HERE'`,
		"one\neins\nichi\nfeatures-one-1\nno included\ndocker-init\nfixed\nin the folder"},
	{"as the engine sees it", `docker inspect -f '{{.HostConfig.RestartPolicy}} {{.HostConfig.LogConfig}} {{.HostConfig.Memory}} {{.HostConfig.Init}} {{.Config.Labels.role}} {{.HostConfig.ExtraHosts}}' features-one-1
docker inspect -f '{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.Config.StopSignal}}' features-two-2; docker network inspect -f '{{.Internal}} {{(index .IPAM.Config 0).Subnet}}' features_back; docker network inspect -f '{{.Labels.role}}' features_front`,
		"{on-failure 2} {json-file map[max-file:2 max-size:1m]} 67108864 true based [elsewhere:192.0.2.9]\n500000000 33554432 20 SIGKILL\ntrue 10.213.7.0/24\nfront"},
	{"look", `compose ps --format json one | grep -o '"Service":"one"\|"Health":"[a-z]*"\|"TargetPort":80' | sort; compose ps -q | wc -l; compose ps --services --status exited; compose port one 80 | sed 's/:[0-9]*$/:P/'; compose top included | tail -n +3 | grep -o 'sleep 1000'
compose images --format json | grep -o '"ContainerName":"[a-z0-9-]*"' | sort | head -2; compose ls --format json | grep -o '"Name":"features","Status":"running([0-9])"\|exited([0-9])' | head -1; compose stats --no-stream --format '{{.Name}}' included; compose logs --no-log-prefix one; compose logs job two; compose volumes -q | sort; compose version --short | cut -c1-2`,
		"\"Health\":\"healthy\"\n\"Service\":\"one\"\n\"TargetPort\":80\n4\njob\n127.0.0.1:P\n\"ContainerName\":\"features-included-1\"\n\"ContainerName\":\"features-job-1\"\n\"Name\":\"features\",\"Status\":\"running(4)\"\nfeatures-included-1\nsaid hello\nfeatures_named\n5."},
	{"exec and run", `compose exec -T -u nobody -w /tmp -e A=b one sh -c 'id -un; pwd; echo $A; exit 9'; echo $?; echo in | compose exec -T one cat; compose run --rm -T --no-deps -e GREETING=bye included sh -c 'echo $GREETING; exit 4'; echo $?
echo in | compose run --rm -T --name given included cat; compose run -d --name kept-run included sleep 5 | wc -l; docker inspect -f '{{index .Config.Labels "com.docker.compose.oneoff"}}' kept-run; docker rm -f kept-run`,
		"nobody\n/tmp\nb\n9\nin\nbye\n4\nin\n1\nTrue\nkept-run"},
	{"cp, export, commit", `echo file >sent; compose cp sent one:/tmp/sent; compose cp one:/tmp/sent back; cat back; compose cp --all sent two:/sent; compose exec -T --index 1 two cat /sent; compose export -o out.tar one; tar -tf out.tar | grep -x 'tmp/sent'; compose commit one features-committed:x; docker run --rm features-committed:x cat /tmp/sent; docker rmi features-committed:x | head -n 1`,
		"file\nfile\ntmp/sent\nfile\nUntagged: features-committed:x"},
	{"pause, kill, wait, restart", `$COMPOSE events --json included >events & E=$!; heard() { compose restart -t 0 included; grep -q restart events; }; wait_for heard; compose pause included; compose ps --format '{{.State}}' included; compose unpause included; (compose wait included | sed "s/[0-9a-f]\{64\}/ID/"; echo waited ${PIPESTATUS[0]}) & W=$!; compose kill -s KILL included; wait $W; compose start included; compose restart -t 0 included; compose ps --format '{{.State}}' included
wait_for grep -q unpause events; wait_for eval '[ $(grep -c restart events) -ge 2 ]'; kill $E; grep -o '"action":"[a-z]*"' events | sort -u | tr '\n' ' '`,
		"paused\ncontainer \"ID\" exited with status code 137\nwaited 137\nrunning\n\"action\":\"die\" \"action\":\"kill\" \"action\":\"pause\" \"action\":\"restart\" \"action\":\"start\" \"action\":\"stop\" \"action\":\"unpause\" "},
	{"attach", `(compose attach --no-stdin included; echo left $?) & A=$!; wait_for eval 'docker events --since 1m --until 0s -f event=attach -f container=features-included-1 | grep -q attach'; compose stop included; wait $A; compose start included`,
		"left 137"},
	{"scale, recreate, orphans", `compose scale two=3; compose ps -q two | wc -l; compose up -d --no-deps --scale two=1 two; compose ps -q two | wc -l; was=$(compose ps -q one); compose up -d --no-deps --no-recreate one; [ $(compose ps -q one) = $was ] && echo same; ROLE=new compose up -d --no-deps one; [ $(compose ps -q one) != $was ] && echo recreated; compose rm -sf included; compose ps -a -q included | wc -l`,
		"3\n1\nsame\nrecreated\nGoing to remove features-included-1\n0"},
	{"exit codes", `compose --profile debug up --no-log-prefix --abort-on-container-exit --exit-code-from extra extra 2>/dev/null | grep leaving; echo ${PIPESTATUS[0]}; compose stop -t 20 one; docker inspect -f '{{.State.ExitCode}}' features-one-1; compose up -d --wait nosuch; echo $?`,
		"leaving\n3\n5\n1"},
	{"down", `compose --profile debug down -v -t 0 --remove-orphans; docker ps -aq -f label=com.docker.compose.project=features; docker volume ls -q | grep features; docker network ls --format '{{.Name}}' | grep features; docker volume rm features-kept; docker network rm features-outer; compose ls -a -q`,
		"features-kept\nfeatures-outer\nfeatures-kept\nfeatures-outer"},
}

const featureFunctions = `cd features; docker() { $DOCKER "$@"; }; compose() { $COMPOSE --progress quiet "$@"; }
wait_for() { local n=0; while ! "$@"; do n=$((n + 1)); [ $n -lt 600 ] || { echo "in vain: $*"; exit 1; }; sleep 0.1; done; }
`

// TestComposeFeatures runs them. dockerd comes first: what it prints is what the steps must say.
func TestComposeFeatures(t *testing.T) {
	requirePlugins(t)
	cli := filepath.Join(peersFolder, "docker-28/bin/docker")
	if _, err := os.Stat(cli); err != nil {
		t.Skipf("%v; run `scripts/peers`", err)
	}
	config := pluginConfig(t)
	env := []string{"DOCKER=" + cli, "DOCKER_CONFIG=" + config, "PASSED=passed", "HUSH=quiet", "LOUD=noise"}
	t.Run("docker", func(t *testing.T) {
		if os.Getenv("NARU_TEST_BESIDE") == "" {
			t.Skip("run `NARU_TEST_BESIDE=1 go test -run TestComposeFeatures/docker ./cmd/naru/acceptance` to see that the steps hold for dockerd")
		}
		docker := startDocker(t)
		if docker == nil {
			t.Skip("there is no dockerd that runs here; run `scripts/peers`")
		}
		w := &world{context: "docker", work: t.TempDir(), env: []string{"PATH=" + filepath.Join(root, "bin") + ":" + os.Getenv("PATH"), "HOME=" + config}}
		runFeatures(t, w, append(env[:len(env):len(env)], "IMG="+docker.vars["IMG"], "DOCKER_HOST=unix://"+docker.socket, "COMPOSE="+cli+" compose"))
	})
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			img, socket := w.image(t, "bookworm"), w.sh(t, "naru context inspect -f '{{.Socket}}' "+name)
			// Each way in one context: as naru's verb, and as the plug-in that the docker CLI finds.
			compose := map[string]string{"direct": cli + " compose", "machine": "naru compose"}[name]
			runFeatures(t, w, append(env[:len(env):len(env)], "IMG="+img, "DOCKER_HOST="+socket, "COMPOSE="+compose))
		})
	}
}

func runFeatures(t *testing.T, w *world, env []string) {
	t.Helper()
	if err := os.CopyFS(filepath.Join(w.work, "features"), os.DirFS(filepath.Join(root, "cmd/naru/acceptance/testdata/features"))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.exec(result{script: featureFunctions + `compose --profile debug down -v -t 0 --remove-orphans; docker volume rm features-kept; docker network rm features-outer; cd ..; rm -r features`, extra: env})
	})
	for _, step := range featureSteps {
		if r := w.exec(result{script: featureFunctions + step.script, extra: env}); strings.TrimSuffix(r.stdout, "\n") != step.want {
			t.Errorf("%s: want %q; got %q, code %d, stderr %s", step.name, step.want, r.stdout, r.code, r.stderr)
		}
	}
}
