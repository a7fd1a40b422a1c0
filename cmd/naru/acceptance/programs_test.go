package acceptance

import (
	"strings"
	"testing"
)

// shop is a web server that counts its visitors in PostgreSQL, which it knows by name only.
const shop = `import socket, subprocess
s = socket.create_server(("", 8000))
while True:
    c, _ = s.accept()
    c.recv(4096)
    out = subprocess.run(["psql", "-qtA", "-h", "db", "-U", "postgres", "-c", "INSERT INTO visits DEFAULT VALUES RETURNING id"], capture_output=True)
    c.sendall(b"HTTP/1.0 %d x\r\n\r\n%s" % (200 if out.returncode == 0 else 500, out.stdout + out.stderr))
    c.close()
`

// visit asks the web server for its page, by name, and prints the page's text.
const visit = `import socket, sys, time
for _ in range(600):
    try:
        c = socket.create_connection((sys.argv[1], int(sys.argv[2]))); c.sendall(b"GET / HTTP/1.0\r\n\r\n")
        page = c.makefile().read()
        if page: print(page.split("\n\n", 1)[1].strip()); break
    except OSError: pass
    time.sleep(0.1)
`

// psqlUntil asks PostgreSQL in the container $N-db until it serves by TCP, then runs the statement.
const psqlUntil = `ask() { naru exec $N-db psql -qtA -h 127.0.0.1 -U postgres -c "$1"; }; until ask "SELECT 1" >/dev/null 2>&1; do sleep 0.2; done
`

// TestPrograms: real programs on networks and volumes, as people run them.
func TestPrograms(t *testing.T) {
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			env := []string{"PG=" + w.image(t, "postgres"), "REDIS=" + w.image(t, "redis"), "IMG=" + w.image(t, "bookworm"), "N=prog", "SHOP=" + shop, "VISIT=" + visit}
			run := func(script string) string { t.Helper(); return w.sh(t, script, env...) }
			t.Cleanup(func() {
				w.exec(result{script: "naru rm -fv $N-db $N-web $N-redis; naru volume rm $N; naru network rm $N", extra: env})
			})

			// A web server, PostgreSQL on a bind mount and a client on a user-defined network, by name.
			run(`naru network create $N >/dev/null; mkdir -p pgdata; chmod 755 pgdata
naru run -d --name $N-db --network $N --network-alias db -e POSTGRES_HOST_AUTH_METHOD=trust -v "$PWD/pgdata":/var/lib/postgresql/data $PG >/dev/null
` + psqlUntil + `ask "CREATE TABLE visits (id serial)"
naru run -d --name $N-web --network $N --network-alias shop -p 127.0.0.1::8000 $PG python3 -c "$SHOP" >/dev/null`)
			visits := `for i in 1 2; do naru run --rm --network $N $IMG python3 -c "$VISIT" shop 8000; done
python3 -c "$VISIT" 127.0.0.1 $(naru port $N-web 8000 | sed 's/.*://')`
			if got := run(visits); got != "1\n2\n3" {
				t.Errorf("visits: %q", got)
			}
			// The files belong to the database's user there, whoever they belong to on the host.
			if got := run(`naru exec $N-db stat -c '%U %a' /var/lib/postgresql/data /var/lib/postgresql/data/PG_VERSION`); got != "postgres 700\npostgres 600" {
				t.Errorf("inside: %q", got)
			}
			if name == "direct" {
				if got := run(`stat -c %u pgdata pgdata/PG_VERSION`); got != "999\n999" {
					t.Errorf("on the host: %q", got)
				}
			}
			// Another container goes on with the same folder; what it cannot have kept would fail its start.
			got := run(`naru rm -f $N-db >/dev/null
naru run -d --name $N-db --network $N --network-alias db -v "$PWD/pgdata":/var/lib/postgresql/data $PG >/dev/null
` + psqlUntil + `ask "SELECT count(*) FROM visits"; naru run --rm --network $N $IMG python3 -c "$VISIT" shop 8000`)
			if lines := strings.Fields(got); len(lines) != 2 || lines[0] != "3" {
				t.Errorf("after another container: %q", got)
			}
			run("naru stop -t 30 $N-db >/dev/null; naru rm $N-db >/dev/null")

			// Redis comes back with what it had, from a volume.
			redis := `naru run -d --name $N-redis -v $N:/data $REDIS redis-server --appendonly yes >/dev/null
cli() { naru exec $N-redis redis-cli "$@"; }; until [ "$(cli ping 2>/dev/null)" = PONG ]; do sleep 0.1; done; `
			run(redis + "cli set kept data; cli save; naru stop $N-redis; naru rm -v $N-redis")
			if got := run(redis + `cli get kept; naru exec $N-redis stat -c '%U' /data; naru rm -f $N-redis >/dev/null`); got != "data\nredis" {
				t.Errorf("redis after rm: %q", got)
			}
		})
	}
}
