package acceptance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// requirePlugins skips where Docker's plug-ins are not built.
func requirePlugins(t *testing.T) {
	t.Helper()
	for _, name := range []string{"docker-buildx", "docker-compose"} {
		if _, err := os.Stat(filepath.Join(root, "bin", name)); err != nil {
			t.Skipf("bin/%s is not there; run `make plugins`, or all of it with `make test`", name)
		}
	}
}

// A small application: a web service built from a Dockerfile, which counts its visitors in Redis.
var project = map[string]string{
	"Dockerfile": `# syntax=docker/dockerfile:1
FROM $IMG
COPY srv.py /srv.py
RUN --mount=type=cache,target=/cache echo built >/built && date >/cache/x
HEALTHCHECK --interval=1s --retries=60 CMD python3 -c "import socket; socket.create_connection(('127.0.0.1', 8000))"
CMD ["python3", "/srv.py"]
`,
	"srv.py": `import os, socket
s = socket.create_server(("", 8000))
while True:
    c, _ = s.accept()
    if c.getpeername()[0] != "127.0.0.1": # else it is the health check
        r = socket.create_connection(("db", 6379))
        r.sendall(b"INCR hits\r\n")
        c.sendall(os.environ["GREETING"].encode() + b" " + r.recv(64))
    c.close()
`,
	"compose.yaml": `services:
  web:
    build: .
    environment: {GREETING: hello}
    ports: ["127.0.0.1::8000"]
    depends_on: {db: {condition: service_healthy}}
    secrets: [token]
    configs: [{source: motd, target: /etc/motd}]
  db:
    image: $IMG
    command: redis-server --protected-mode no --dir /data
    volumes: [data:/data]
    healthcheck: {test: ["CMD", "redis-cli", "ping"], interval: 1s, retries: 60}
  idle:
    image: $IMG
    command: sleep 1000
    profiles: [extra]
volumes: {data: {}}
secrets: {token: {file: token}}
configs: {motd: {content: "composed"}}
`,
	"token": "hush",
}

// TestCompose: an application as people write it, built and run by Docker's own Compose, and nothing left of it.
func TestCompose(t *testing.T) {
	requirePlugins(t)
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			img := w.image(t, "bookworm")
			dir := filepath.Join(w.work, "shop")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for file, content := range project {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(strings.ReplaceAll(content, "$IMG", img)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			left := `naru ps -aq; naru volume ls -q; naru network ls --format '{{.Name}}' | sort`
			before := w.sh(t, left)
			compose := func(args string) string {
				t.Helper()
				return w.sh(t, "cd shop && naru compose --progress quiet "+args)
			}
			t.Cleanup(func() { w.exec(result{script: "cd shop && naru compose down -v --rmi local"}) })
			compose("up -d --wait")
			hit := `cd shop; P=$(naru compose port web 8000); exec 3<>/dev/tcp/${P%:*}/${P##*:}; cat <&3`
			if got := w.sh(t, hit) + w.sh(t, hit); got != "hello :1\rhello :2\r" {
				t.Errorf("two visits: %q", got)
			}
			for args, want := range map[string]string{
				"ps --format '{{.Service}} {{.Health}}' | sort":                   "db healthy\nweb healthy",
				"exec -T web cat /built /run/secrets/token":                       "built\nhush",
				"exec -T web cat /etc/motd":                                       "composed",
				"run --rm -T --no-deps web python3 -c 'print(1)'":                 "1",
				"logs --no-log-prefix db | grep -c 'Ready to accept connections'": "1",
				"images -q web | wc -l":                                           "1",
				"config --services | sort":                                        "db\nweb",
			} {
				if got := compose(args); strings.TrimSpace(got) != want {
					t.Errorf("compose %s: %q, want %q", args, got, want)
				}
			}
			compose("up -d --wait --no-recreate --scale web=3")
			if got := w.sh(t, "naru ps -q -f label=com.docker.compose.service=web | wc -l"); got != "3" {
				t.Errorf("%s web services after scaling to 3", got)
			}
			compose("--profile extra up -d idle")
			compose("restart -t 0 idle")
			compose("--profile extra down -v --rmi local")
			if after := w.sh(t, left); after != before {
				t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}
