package acceptance

import (
	"fmt"
	"strings"
	"testing"
)

// usernsRows hold when the engine puts containers into user namespaces. $HOSTUID prints the uid that the host sees of the
// first process of $N.
var usernsRows = []row{
	{name: "root inside is nobody outside", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null; naru exec $N sh -c 'id -u; tr -s " " </proc/self/uid_map'; inside "sed -n 's/^Uid:.\([0-9]*\).*/\1/p' /proc/$(naru inspect -f '{{.State.Pid}}' $N)/status"`, stdout: "0\n 0 1879048192 65536\n1879048192\n"},
	{name: "the image's files are root's", script: `naru run --rm $IMG stat -c %u:%g /etc/passwd /root /`, stdout: "0:0\n0:0\n0:0\n"},
	{name: "the writable layer has container ids", script: `naru run --name $N $IMG sh -c 'touch /new; chown 33:33 /new; echo x >>/etc/passwd; rm /etc/motd; stat -c %u:%g /new /etc/passwd'; inside "cd $ROOT/containers/$(naru inspect -f '{{.Id}}' $N)/upper; stat -c '%u:%g %F' new etc/passwd etc/motd"`, stdout: "33:33\n0:0\n33:33 regular empty file\n0:0 regular file\n0:0 character special file\n"},
	{name: "copy in and out, running and not", script: `echo hi >f && chown 33:44 f && naru create --name $N -v $N:/v $IMG sleep 1000 >/dev/null && naru cp f $N:/ && naru cp f $N:/v/ && naru cp f $N:/d && naru start $N >/dev/null && naru exec $N stat -c %u:%g /f /v/f /d; naru cp $N:/f - | tar tvf - --numeric-owner | cut -d' ' -f2; naru cp f $N:/running && naru exec $N stat -c %u:%g /running && naru rm -f $N >/dev/null; naru volume rm $N >/dev/null`, stdout: "33:44\n33:44\n33:44\n33/44\n33:44\n"},
	{name: "diff, export and commit", script: `naru run --name $N $IMG sh -c 'echo x >/new; chown 33:44 /new; rm /etc/motd' && naru diff $N && naru export $N | tar tvf - --numeric-owner new | cut -d' ' -f2 && naru commit $N $N-image >/dev/null && naru run --rm $N-image stat -c %u:%g /new /etc/passwd; naru rm $N >/dev/null; naru rmi $N-image >/dev/null`, stdout: "C /etc\nD /etc/motd\nA /new\n33/44\n33:44\n0:0\n"},
	{name: "the layer is there again", script: `naru run --name $N $IMG sh -c 'test -e /new && stat -c %u /new; touch /new; chown 33 /new' && naru start -a $N`, stdout: "33\n"},
	{name: "another user", script: `naru run --rm -u www-data $IMG sh -c 'id; touch /tmp/f; stat -c %U /tmp/f'`, stdout: "uid=33(www-data) gid=33(www-data) groups=33(www-data)\nwww-data\n"},
	{name: "volume", script: `naru run --rm -v $N:/v $IMG sh -c 'touch /v/f; chown 33 /v/f'; naru run --rm -v $N:/v $IMG stat -c %u /v/f; naru run --rm --userns host -v $N:/v $IMG stat -c %u /v/f; naru volume rm $N >/dev/null`, stdout: "33\n33\n"},
	{name: "volume with the image's content", script: `naru run --rm -v $N:/etc/default $IMG stat -c %u /etc/default/useradd; naru volume rm $N >/dev/null`, stdout: "0\n"},
	{name: "a bind keeps the host's ids", script: `mkdir -p shut && chmod 700 shut && naru run --rm -v "$PWD/shut":/s $IMG ls /s`, stderr: `Permission denied`, code: 2},
	{name: "a bind that is open to all", script: `mkdir -p open && chmod 777 open && naru run --rm -v "$PWD/open":/s $IMG touch /s/f && stat -c %u open/f`, stdout: "1879048192\n"},
	{name: "its own network", script: `naru run --rm --cap-add NET_ADMIN $IMG sh -c 'ls /sys/class/net; python3 -c "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); print(1)"; (echo 1 >/proc/sys/net/ipv4/ip_forward) 2>/dev/null || echo read-only'`, stdout: "eth0\nlo\n1\nread-only\n"},
	{name: "a network of the user's, by name", script: `naru network create $N >/dev/null; naru run -d --name $N --network $N $IMG sleep 1000 >/dev/null; naru network connect bridge $N; naru exec $N ls /sys/class/net; naru run --rm --network $N $IMG getent hosts $N | tr -s " " | cut -d" " -f2; naru rm -f $N >/dev/null; naru network rm $N >/dev/null`, stdout: "eth0\neth1\nlo\n$N\n"},
	{name: "a low port without a capability", script: `naru run --rm -u 33 $IMG python3 -c 'import socket; socket.socket().bind(("", 80)); print("bound")'`, stdout: "bound\n"},
	{name: "sysctl", script: `naru run --rm --sysctl net.core.somaxconn=77 $IMG cat /proc/sys/net/core/somaxconn`, stdout: "77\n"},
	{name: "published port", script: ping(`-p 127.0.0.1::6379`), stdout: "+PONG\r\n"},
	{name: "no device nodes", script: `naru run --rm $IMG mknod /tmp/null c 1 3`, stderr: `Operation not permitted`, code: 1},
	{name: "device of the host", script: `naru run --rm --device /dev/zero:/dev/nil $IMG sh -c 'head -c 3 /dev/nil | wc -c'`, stdout: "3\n"},
	{name: "terminal", script: `naru run --rm -t $IMG sh -c 'test -w /dev/tty && tty'`, stdout: "/dev/pts/0\r\n"},
	{name: "read-only root, tmpfs and init", script: `naru run --rm --read-only --tmpfs /t --init -w /new/place $IMG sh -c 'touch /t/f; stat -c %u /t/f; cat /proc/1/comm; pwd; touch /f'`, stdout: "0\ndocker-init\n/new/place\n", stderr: `Read-only file system`, code: 1},
	{name: "namespaces of another container", script: `naru run -d --name $N --ipc shareable $IMG sleep 1000 >/dev/null; naru exec $N sh -c 'echo shared >/dev/shm/f'; naru run --rm --network container:$N --ipc container:$N --pid container:$N $IMG sh -c 'cat /dev/shm/f; cat /proc/1/comm; ls /sys/class/net'`, stdout: "shared\nsleep\neth0\nlo\n"},
	{name: "files from outside", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null; echo x >in; naru cp -q in $N:/root/in; naru exec $N sh -c 'stat -c %u:%g /root/in; chown 33:34 /root/in'; naru cp $N:/root/in - | tar tv --numeric-owner | cut -d' ' -f2; naru diff $N | grep -c /root/in; naru commit $N ${N}img >/dev/null; naru run --rm ${N}img stat -c %u:%g /root/in; naru rm -f $N >/dev/null; naru rmi ${N}img >/dev/null`, stdout: "0:0\n33/34\n1\n33:34\n"},
	{name: "--userns=host", script: `naru run --rm --userns host $IMG sh -c 'tr -s " " </proc/self/uid_map; stat -c %u /etc/passwd'`, stdout: " 0 0 4294967295\n0\n"},
	{name: "privileged", script: `naru run --rm --privileged $IMG true; naru run --rm --privileged --userns host $IMG sh -c 'test -b /dev/loop0 -o -c /dev/kmsg && echo all'`, stdout: "all\n", stderr: `privileged mode is incompatible with user namespaces`},
	{name: "host network", script: `naru run --rm --network host $IMG true`, stderr: `cannot share the host's network namespace when user namespaces are enabled`, code: 125},
	{name: "host pid namespace", script: `naru run --rm --pid host $IMG true`, stderr: `cannot share the host PID namespace when user namespaces are enabled`, code: 125},
	{name: "out of memory", script: `naru run --name $N -m 32m --memory-swap 32m $IMG python3 -c 'x = bytearray(200 << 20)'; echo $?; naru inspect -f '{{.State.OOMKilled}}' $N`, stdout: "137\ntrue\n"},
}

// TestUserNamespaces runs an engine with the setting userns-remap, in an installation of its own.
func TestUserNamespaces(t *testing.T) {
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			requireBuilt(t, name)
			w := newWorld(t, name)
			t.Cleanup(w.stop)
			verb := map[string]string{"direct": "engine", "machine": "machine"}[name]
			w.sh(t, "naru "+verb+" start --userns-remap default")
			img := w.image(t, "bookworm")
			root := map[string]string{"direct": w.home + "/engine", "machine": "/var/lib/naru"}[name]
			for i, r := range usernsRows {
				t.Run(r.name, func(t *testing.T) {
					n := fmt.Sprintf("case%d", i)
					script := strings.NewReplacer("$ROOT", root).Replace(w.insideFunction(t) + r.script)
					res := w.exec(result{script: script, dir: n, extra: []string{"IMG=" + img, "N=" + n}})
					check(t, r, res, strings.NewReplacer("$IMG", img, "$N", n))
					w.exec(result{script: "naru rm -f -v " + n + " >/dev/null 2>&1"})
				})
			}
			// Containers that are there go on in their namespaces when the engine is another one, and without the setting too.
			w.sh(t, "naru run -d --name keeps $IMG sleep 1000", "IMG="+img)
			w.killEngine(t)
			if got := w.sh(t, "naru exec keeps sh -c 'id -u; cut -c1-30 /proc/self/uid_map'"); !strings.Contains(got, "1879048192") {
				t.Errorf("after the engine was killed: %s", got)
			}
			if name == "machine" {
				return // another boot of the VM would tell nothing else
			}
			// The disk knows nothing of the setting: without it everything is as it was.
			w.sh(t, "naru exec keeps sh -c 'touch /mine; chown 33 /mine'; naru stop -t 0 keeps; naru engine start --userns-remap '' 2>/dev/null; naru engine stop; naru start keeps")
			if got := w.sh(t, "naru exec keeps sh -c 'stat -c %u /mine /etc/passwd; tr -s \" \" </proc/self/uid_map'"); got != "33\n0\n 0 0 4294967295" {
				t.Errorf("without the setting: %q", got)
			}
		})
	}
}

// insideFunction defines the shell function `inside`, see world.inside.
func (w *world) insideFunction(t *testing.T) string {
	t.Helper()
	if w.context == "machine" {
		return "inside() { naru machine shell \"$1\"; }\n"
	}
	pids := w.processes("naru-keeper")
	if len(pids) == 0 {
		t.Fatal("no naru-keeper runs")
	}
	return fmt.Sprintf("inside() { nsenter -t %d -m sh -c \"$1\"; }\n", pids[0])
}
