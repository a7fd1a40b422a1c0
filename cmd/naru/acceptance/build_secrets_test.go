package acceptance

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secretBuild uses a secret in each way, and an ssh-agent.
const secretBuild = `FROM $IMG AS base
RUN --mount=type=secret,id=file wc -c </run/secrets/file >/length
RUN --mount=type=secret,id=file,target=/deep/er/s,mode=0440,uid=1000,gid=1001 stat -c '%a %u:%g' /deep/er/s >/stat
RUN --mount=type=secret,id=inenv,env=TOKEN [ ${#TOKEN} = 40 ] && echo env >/env
RUN --mount=type=cache,target=/cache --mount=type=secret,id=file sha256sum /run/secrets/file >/cache/sum
RUN --mount=type=ssh [ -S "$SSH_AUTH_SOCK" ] && python3 -c 'import os, socket; s = socket.socket(socket.AF_UNIX); s.connect(os.environ["SSH_AUTH_SOCK"]); s.sendall(bytes([0, 0, 0, 1, 11])); print(s.makefile("rb").read(9)[4:])' >/agent
RUN --mount=type=secret,id=absent [ ! -e /run/secrets/absent ] && ls -d /run/secrets /deep 2>/dev/null | wc -l >/left
`

// TestBuildSecrets: what a build is given as a secret is nowhere in the engine's folder afterwards, whether the build goes well,
// fails, or prints it... to nobody but the step; nor are the sockets of ssh-agents.
func TestBuildSecrets(t *testing.T) {
	requireBuilt(t, "direct")
	requirePlugins(t)
	w := newWorld(t, "direct")
	t.Cleanup(w.stop)
	img := w.image(t, "bookworm")
	secrets := []string{strings.Repeat("Qz7", 13) + "x", strings.Repeat("Wy4", 13) + "k"} // 40 bytes that are nowhere else
	agent := emptyAgent(t)
	for name, text := range map[string]string{
		"ctx/Dockerfile": strings.ReplaceAll(secretBuild, "$IMG", img), "secret": secrets[0],
		"fail/Dockerfile":     "FROM " + img + "\nRUN --mount=type=secret,id=file cp /run/secrets/file /dev/shm/x && false\n",
		"required/Dockerfile": "FROM " + img + "\nRUN --mount=type=secret,id=none,required true\n",
	} {
		path := filepath.Join(w.work, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	given := "--secret id=file,src=secret --secret id=inenv,env=TOKEN --ssh default=" + agent + " "
	w.sh(t, "naru build -q --provenance=mode=max "+given+"-t secret ctx", "TOKEN="+secrets[1])
	want := "40\n440 1000:1001\nenv\nb'\\x0c\\x00\\x00\\x00\\x00'\n0"
	if got := w.sh(t, "naru run --rm --network none secret sh -c 'cat /length /stat /env /agent /left'"); got != want {
		t.Errorf("the steps saw %q, want %q", got, want)
	}
	if r := w.exec(result{script: "naru build -q --secret id=file,src=secret fail"}); r.code == 0 || !strings.Contains(r.stderr, "exit code: 1") {
		t.Error(r)
	}
	if r := w.exec(result{script: "naru build -q required"}); r.code == 0 || !strings.Contains(r.stderr, "secret none: not found") {
		t.Error(r)
	}
	said := w.sh(t, "naru history --no-trunc secret; naru inspect secret; naru buildx history logs 2>&1; naru buildx history inspect; naru buildx du --verbose")
	findBytes(t, "what is told of the build", []byte(said), secrets)
	findIn(t, filepath.Join(w.home, "engine"), secrets)
	w.sh(t, "naru save secret >saved.tar && mkdir saved && tar -xf saved.tar -C saved")
	findIn(t, filepath.Join(w.work, "saved"), secrets)
	if left := w.inside(t, "ls -A "+w.home+"/engine/run/tmp | grep -v '^.buildkit-ssh'; true"); left != "" {
		t.Errorf("temporary files are left: %s", left)
	}
}

// findIn looks for the secrets in every file below a folder, also in what is compressed.
func findIn(t *testing.T, dir string, secrets []string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		findBytes(t, path, data, secrets)
		if z, err := gzip.NewReader(bytes.NewReader(data)); err == nil {
			plain, _ := io.ReadAll(z)
			findBytes(t, path+" unpacked", plain, secrets)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Errorf("%s has %d files: the secrets were looked for at the wrong place", dir, files)
	}
}

func findBytes(t *testing.T, where string, data []byte, secrets []string) {
	t.Helper()
	for _, s := range secrets {
		for _, form := range []string{s, base64.StdEncoding.EncodeToString([]byte(s)), hex.EncodeToString([]byte(s))} {
			if bytes.Contains(data, []byte(form)) {
				t.Errorf("%s holds the secret %s", where, form)
			}
		}
	}
}

// emptyAgent serves the protocol of ssh-agents on a socket: it has no keys.
func emptyAgent(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(base, "a")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for request := make([]byte, 5); ; {
					if _, err := io.ReadFull(c, request); err != nil {
						return
					}
					if _, err := fmt.Fprint(c, "\x00\x00\x00\x05\x0c\x00\x00\x00\x00"); err != nil { // SSH_AGENT_IDENTITIES_ANSWER, none
						return
					}
				}
			}()
		}
	}()
	return socket
}
