package acceptance

import (
	"fmt"
	"strings"
	"testing"
)

// TestMountsBelow: mounts that the host makes below what containers were given, on a host whose mounts are shared as systemd makes
// them. A container sees those that were there when it started, read-only where the bind is; later ones where it is a slave.
func TestMountsBelow(t *testing.T) {
	requireBuilt(t, "direct")
	w := newWorld(t, "direct")
	host := namespaces(t, "--mount", "--propagation=shared")
	w.prefix = []string{"nsenter", "--mount=" + fmt.Sprintf("/proc/%d/ns/mnt", host), "--wdns=" + w.work}
	t.Cleanup(w.stop)
	img := "IMG=" + w.image(t, "bookworm")
	for _, r := range []row{
		{name: "the engine starts before", script: `mkdir -p top/sub && naru run -d --name early -v "$PWD/top":/slave:rslave -v "$PWD/top":/private $IMG sleep 1000 >/dev/null`},
		{name: "what is there at the start", script: `mount -t tmpfs naru-test top/sub && touch top/sub/f && naru run --rm -v "$PWD/top":/t:ro $IMG sh -c 'ls /t/sub; touch /t/x || touch /t/sub/x'`, stdout: "f\n", stderr: `(Read-only file system(.|\n)*){2}`, code: 1},
		{name: "not what is below", script: `naru run --rm --mount type=bind,source="$PWD/top",target=/t,bind-recursive=disabled $IMG ls /t/sub`},
		{name: "read-only above only", script: `naru run --rm --mount type=bind,source="$PWD/top",target=/t,readonly,bind-recursive=writable $IMG sh -c 'touch /t/sub/g && ls /t/sub; touch /t/x'`, stdout: "f\ng\n", stderr: `Read-only file system`, code: 1},
		{name: "what comes later", script: `naru exec early sh -c 'ls /slave/sub; ls /private/sub'`, stdout: "f\ng\n"},
		{name: "nothing gets out", script: `naru run --rm -v "$PWD/top":/t:rshared $IMG true`, stderr: `path /\S+/top is mounted on / but it is not a shared mount`, code: 125},
	} {
		check(t, r, w.exec(result{script: r.script, extra: []string{img}}), strings.NewReplacer())
	}
}
