package acceptance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// contextSteps build from contexts that are no folders, and to where no image store is. $B is a CLI's build -q; each Dockerfile makes
// a file, which is read back as an archive.
var contextSteps = []struct {
	name, script, want string
	machine            bool // also in the VM
}{
	{"git: a repository, a tag, a branch, a folder that has no Dockerfile", `tarred $WEB/repo.git; tarred "$WEB/repo.git#v1"; tarred "$WEB/repo.git#other"; $B "$WEB/repo.git#:sub" 2>&1 | grep -o "open Dockerfile: no such file"`,
		"file of the repository\nrun #!/bin/sh\nfile of the repository\nrun #!/bin/sh\nfile other\nrun #!/bin/sh\nopen Dockerfile: no such file", false},
	{"git: no such branch", `$B "$WEB/repo.git#nosuch" 2>&1 | grep -o 'repository does not contain ref nosuch'`, "repository does not contain ref nosuch", false},
	{"a URL: an archive, another Dockerfile in it, a Dockerfile", `tarred $WEB/context.tar.gz; tarred -f sub/Dockerfile $WEB/context.tar.gz; tarred $WEB/Dockerfile.alone`,
		"f text\ng more\nalone it is", false},
	{"a URL: not there", `$B $WEB/nosuch 2>&1 | grep -o 'invalid response status 404'`, "invalid response status 404", false},
	{"stdin: an archive, zipped, another Dockerfile in it, a Dockerfile", `tarred - <c.tar; gzip -c c.tar | tarred -; tarred -f sub/Dockerfile - <c.tar; printf 'FROM scratch\nCOPY <<alone /\nit is\nalone\n' | tarred -; tarred -f - c <c/sub/Dockerfile`,
		"f text\nf text\ng more\nalone it is\ng more", true},
	{"stdin: nothing of use", `echo junk | $B - 2>&1 | grep -o 'unknown instruction: junk'`, "unknown instruction: junk", true},
	{"outputs: local, tar, oci, docker, the image store", `$B -o out c >/dev/null; cat out/f; $B -o type=tar,dest=o.tar c >/dev/null; tar -xOf o.tar f; $B -o type=oci,dest=oci.tar c >id; tar -tf oci.tar | grep -x index.json; $B -o type=docker,name=built:d,dest=d.tar c >/dev/null; naru load -q -i d.tar
$B -o type=docker,name=built:d2 c | cmp - id && naru images -q --no-trunc built:d2 | cmp - id; $B -o type=image,name=built:i c | cmp - id; $B -o type=cacheonly c >/dev/null; naru rmi built:d built:d2 built:i | grep -c Untagged; rm -r out *.tar id; tar -C c -cf c.tar .`,
		"text\ntext\nindex.json\nLoaded image: built:d\n3", true},
	{"outputs: what is none", `$B -o type=local c 2>&1 | grep -o 'dest is required for local exporter'`,
		"dest is required for local exporter", false},
	{"the request of older clients", `post() { curl -s --unix-socket $SOCKET -X POST "$@" | grep -o 'sha256:[0-9a-f]*\|"message":"[^}]*"' | head -n 1; }
naru run --rm $(post --data-binary @c.tar -H 'Content-Type: application/x-tar' "http://naru/build?q=1&dockerfile=hello.Dockerfile"); [ $(post "http://naru/build?q=1&remote=$WEB/context.tar.gz") = $($B $WEB/context.tar.gz) ] && echo same
post "http://naru/build?remote=$WEB/nosuch"`,
		"hello\nsame\n\"message\":\"failed to read downloaded context: failed to load cache key: invalid response status 404\"", false},
}

// contextFunctions go before each step. tarred builds, and shows the files.
const contextFunctions = `tarred() { $B -o type=tar,dest=t.tar "$@" >/dev/null && for f in $(tar -tf t.tar | grep -v '/$' | sort); do echo $f $(tar -xOf t.tar $f); done; rm -f t.tar; }
`

// buildContext is the context c.
var buildContext = map[string]string{
	"Dockerfile": "FROM scratch\nCOPY f /\n", "f": "text\n", "sub/Dockerfile": "FROM scratch\nCOPY g /\n", "g": "more\n",
	"hello.Dockerfile": "FROM {BASE}\nCMD [\"sh\", \"-c\", \"echo hello\"]\n",
}

// TestBuildContexts: repositories, URLs and archives as contexts, and all outputs. In the VM, whose loopback is its own, only what
// needs no server.
func TestBuildContexts(t *testing.T) {
	requirePlugins(t)
	registry(t)
	if err := inRegistry("tiny"); err != nil {
		t.Fatal(err)
	}
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			b := naruBuilder(t, name)
			w := inContext(t, name)
			if err := writeFiles(filepath.Join(w.work, "contexts/c"), buildContext, strings.NewReplacer("{BASE}", b.base).Replace); err != nil {
				t.Fatal(err)
			}
			w.sh(t, "cd contexts; tar -C c -cf c.tar .")
			t.Cleanup(func() { w.exec(result{script: "rm -r contexts"}) })
			env := []string{"B=naru build -q", "WEB=" + b.web, "SOCKET=" + strings.TrimPrefix(w.sh(t, "naru context inspect -f '{{.Socket}}' "+name), "unix://")}
			for _, step := range contextSteps {
				if name == "machine" && (!step.machine || os.Getenv("NARU_TEST_FULL") == "") {
					continue
				}
				t.Run(step.name, func(t *testing.T) {
					if r := w.exec(result{script: contextFunctions + step.script, dir: "contexts", extra: env}); strings.TrimSuffix(r.stdout, "\n") != step.want {
						t.Errorf("want %q; got %s", step.want, r)
					}
				})
			}
			if name == "machine" {
				r := w.exec(result{script: "naru build -q http://127.0.0.1/repo.git 2>&1 | grep -o 'git is not installed where the engine runs; clone it, and build from the folder'"})
				if r.stdout == "" {
					t.Errorf("a repository in the VM: %s", r)
				}
			}
		})
	}
}
