package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shopSteps is a day with the project in testdata/shop, a Go service with PostgreSQL and Redis: each is a script that must print
// just what is given. get asks a web server through its published port, wait_for waits for a command to succeed.
var shopSteps = []struct{ name, script, want string }{
	{"build", `compose build && naru images -q shop-web | wc -l`, "1"},
	// The service makes one try at each store: it only gets healthy when its start has waited for theirs.
	{"up waits for health", `compose up -d --wait && compose ps --format '{{.Service}} {{.State}} {{.Health}}' | sort
naru inspect -f '{{.RestartCount}}' shop-web-1`, "cache running healthy\ndb running healthy\nweb running healthy\n0"},
	{"both stores are used", `order apple; order pear; get | cut -d' ' -f2-; get | cut -d' ' -f4-
compose exec -T db psql -U shop -Atc 'SELECT item FROM orders ORDER BY id'; compose exec -T cache redis-cli get visits`,
		"version=1 motd=welcome visits=1 orders=2 last=pear\nvisits=2 orders=2 last=pear\napple\npear\n2"},
	{"no way out of the internal network", `naru network inspect -f '{{.Internal}}' shop_back; compose exec -T db bash -c ': </dev/tcp/192.0.2.1/80' 2>&1 | grep -o 'Network is unreachable' | uniq`, "true\nNetwork is unreachable"},
	{"logs -f", `naru compose logs -f --no-log-prefix web >followed 2>&1 & P=$!; get /marker >/dev/null; wait_for grep -qs 'GET /marker' followed; kill $P; wait $P; grep -c 'ready$' followed`, "1"},
	{"exec", `compose exec -T web sh -c 'id -un; cat /run/secrets/password; exit 7'; echo $?; echo in | compose exec -T -e A=b -w /srv web sh -c 'cat; echo $A; pwd'`, "nobody\nhush\n7\nin\nb\n/srv"},
	{"watch", `naru compose watch --no-up >watched 2>&1 & P=$!; wait_for grep -qs 'Watch enabled' watched
was=$(compose ps -q web); echo changed >static/motd; wait_for eval 'get | grep -q motd=changed'; [ "$(compose ps -q web)" = $was ] && echo synced
echo 2 >version; wait_for eval 'get 2>/dev/null | grep -q "version=2 motd=changed"'; [ "$(compose ps -q web)" != $was ] && echo rebuilt
kill $P; wait $P; naru ps -a --format '{{.Names}}' -f label=com.docker.compose.service=web`, "synced\nrebuilt\nshop-web-1"},
	{"what the stores hold outlives the service", `get | cut -d' ' -f5-; compose restart -t 5 db >/dev/null; compose up -d --wait --no-recreate && compose exec -T db psql -U shop -Atc 'SELECT count(*) FROM orders'`, "orders=2 last=pear\n2"},
	{"scale, and a name that goes round", `compose up -d --wait --no-recreate --scale web=3 && compose ps -q web | wc -l
naru run --rm --network shop_front $BASE python3 -c '
import socket
first = [socket.gethostbyname("web") for _ in range(60)]
print(len({a[4][0] for a in socket.getaddrinfo("web", 8080)}), len(set(first)))
hosts = set()
for address in set(first):
    s = socket.create_connection((address, 8080)); s.sendall(b"GET / HTTP/1.0\r\n\r\n"); hosts.add(s.makefile().read().split("host=")[1].split()[0])
print(len(hosts))'
compose ps --format '{{.Publishers}}' web | grep -o '127.0.0.1' | wc -l`, "3\n3 3\n3\n3"},
	{"stop is heard", `compose stop -t 20 web; naru logs shop-web-2 2>&1 | grep -c bye; naru inspect -f '{{.State.ExitCode}}' shop-web-2; compose start web; compose ps -q web | wc -l`, "1\n0\n3"},
	{"down", `compose down -v --rmi local && naru ps -aq -f label=com.docker.compose.project=shop; naru volume ls -q -f label=com.docker.compose.project=shop
naru network ls -q -f label=com.docker.compose.project=shop; naru images -q shop-web; compose ls -a -q`, ""},
}

// shopFunctions go before each step.
const shopFunctions = `set -o pipefail; cd shop
compose() { naru compose --progress quiet "$@"; }
port() { compose port web 8080; }
http() { local a; a=$(port) && exec 3<>/dev/tcp/${a%:*}/${a##*:} && printf '%s %s HTTP/1.0\r\n\r\n' "$1" "$2" >&3 && sed '1,/^\r$/d' <&3; }
get() { http GET "${1:-/}"; }
order() { http POST /orders/$1; }
wait_for() { local n=0; while ! "$@"; do n=$((n + 1)); [ $n -lt 1200 ] || { echo "in vain: $*"; cat followed watched; exit 1; }; sleep 0.1; done; }
`

// forgetBuilds removes what Docker, too, keeps of builds: the cache, and the records of the last fifty.
const forgetBuilds = `(naru builder prune -af; export DOCKER_HOST=$(naru context inspect -f '{{.Socket}}' $NARU_CONTEXT); docker-buildx history rm --all) >/dev/null`

// TestProject builds and runs it with Compose, works on it, and sees that nothing of it is left.
func TestProject(t *testing.T) {
	requirePlugins(t)
	project := shopFiles(t)
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			env := []string{"BASE=" + w.image(t, "bookworm"), "POSTGRES=" + w.image(t, "postgres"), "REDIS=" + w.image(t, "redis")}
			// What the first container and the first build make stays: the network, the builder's folders.
			w.sh(t, "cp -r "+project+" shop; naru run --rm $BASE true; printf 'FROM %s\nRUN true' $BASE | naru build -q - | xargs naru rmi; "+forgetBuilds, env...)
			before := census(t, w, nil)
			t.Cleanup(func() {
				w.exec(result{script: "cd shop && naru compose down -v --rmi local; cd .. && rm -r shop", extra: env})
			})
			for _, step := range shopSteps {
				start := time.Now()
				r := w.exec(result{script: shopFunctions + step.script, extra: env})
				t.Logf("%s: %v", step.name, time.Since(start).Round(time.Millisecond))
				if r.stdout != step.want && r.stdout != step.want+"\n" {
					t.Fatalf("%s: want %q; got %s", step.name, step.want, r)
				}
			}
			w.sh(t, forgetBuilds)
			files := before["files"]
			delete(before, "images")
			delete(before, "files")
			// BuildKit 0.34 keeps the blobs of a record that a client has listened to, also once it is removed: its count of
			// listeners stays behind at 0, and counts as one.
			if left := linesOnlyIn(census(t, w, before)["files"], files); strings.Count(left, "\n") != strings.Count(left, "./content/blobs/") {
				t.Errorf("files were left behind:\n%s", left)
			}
		})
	}
}

// shopFiles is a copy of the project with its program built: a Go toolchain is too big for a test's image. The program's module
// is its own, so that its clients of PostgreSQL and Redis are none of naru's dependencies.
func shopFiles(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	from := filepath.Join(root, "cmd/naru/acceptance/testdata/shop")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(dir, "shop"), ".")
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the project's program: %v\n%s", err, out)
	}
	return dir
}

// requirePlugins skips where Docker's plug-ins are not built.
func requirePlugins(t *testing.T) {
	t.Helper()
	for _, name := range []string{"docker-buildx", "docker-compose"} {
		if _, err := os.Stat(filepath.Join(root, "bin", name)); err != nil {
			t.Skipf("bin/%s is not there; run `make plugins`, or all of it with `make test`", name)
		}
	}
}
