package acceptance

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAgent: `ssh-add -l` in a container in the VM speaks to the agent of the user's terminal, the one of now. In a direct
// engine's containers a socket is bound by its own path, as in Docker.
func TestAgent(t *testing.T) {
	for _, program := range []string{"ssh-agent", "ssh-add", "ssh-keygen"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%v; run `scripts/setup test`", err)
		}
	}
	w := inContext(t, "machine")
	img := w.image(t, "bookworm")
	w.sh(t, "mkdir -p agent/bin")
	defer os.RemoveAll(filepath.Join(w.work, "agent"))
	bring(t, "ssh-add", filepath.Join(w.work, "agent/bin"))
	list := "LD_LIBRARY_PATH=/s/bin SSH_AUTH_SOCK=/agent.sock /s/bin/ssh-add -l"
	w.sh(t, "naru run -d --name agent --user 1000 -v /run/host-services/ssh-auth.sock:/agent.sock -v $PWD/agent:/s "+img+" sleep 100000")
	defer w.exec(result{script: "naru rm -f agent"})
	for _, key := range []string{"first", "second"} {
		got := w.sh(t, `eval "$(ssh-agent -s)" >/dev/null; trap 'ssh-agent -k >/dev/null' EXIT
			ssh-keygen -q -t ed25519 -N "" -C `+key+`-key -f agent/`+key+`; ssh-add -q agent/`+key+`
			naru exec agent sh -c '`+list+`'`)
		if !strings.Contains(got, key+"-key") {
			t.Errorf("ssh-add -l says %q, want %s-key", got, key)
		}
	}
	if r := w.exec(result{script: "naru exec agent sh -c '" + list + "'"}); r.code == 0 {
		t.Errorf("without an agent: %s", r)
	}
}

// TestSocketOfTheHost: a socket that is bound, by itself or with the folder of a share, speaks to the host's program; one
// outside of what the user shares does not.
func TestSocketOfTheHost(t *testing.T) {
	const client = `import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"ping" * 50000)
s.shutdown(socket.SHUT_WR)
n = 0
while data := s.recv(65536): n += len(data)
print(n)`
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			img := w.image(t, "bookworm")
			path := filepath.Join(w.work, "host.sock")
			ln, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						buf := make([]byte, 1<<20)
						for {
							n, err := conn.Read(buf)
							if err != nil {
								return
							}
							if _, err := conn.Write(buf[:n]); err != nil {
								return
							}
						}
					}()
				}
			}()
			if got := w.sh(t, `naru run --rm -v `+path+`:/s.sock `+img+` python3 -c "$CLIENT" /s.sock`, "CLIENT="+client); got != "200000" {
				t.Errorf("%q came back", got)
			}
			if name != "machine" {
				return
			}
			outside := filepath.Join(t.TempDir(), "out")
			if err := os.Symlink(outside, filepath.Join(w.work, "away")); err != nil {
				t.Fatal(err)
			}
			for source, want := range map[string]string{
				outside: "is not shared with the machine: " + outside + " (shared: ", filepath.Join(w.work, "away"): "is not shared with the machine",
			} {
				r := w.exec(result{script: "naru run --rm -v " + source + ":/x " + img + " true"})
				if r.code != 125 || !strings.Contains(r.stderr, want) || !strings.Contains(r.stderr, "naru machine start --share "+source) {
					t.Errorf("%s: %s", source, r)
				}
			}
		})
	}
}
