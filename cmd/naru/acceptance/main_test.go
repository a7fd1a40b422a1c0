package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// caseTime bounds one command of a test. The VM is emulated on CI, and other tests run beside this one.
const caseTime = 4 * time.Minute

// root is the repository.
var root = func() string {
	dir, err := filepath.Abs("../../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// world is one installation of naru with its context: its own folder, home and work folder.
type world struct {
	context string // "direct" or "machine"
	home    string // NARU_HOME
	work    string // where commands run; shared with the VM
	env     []string
	prefix  []string // of every command: it leads into namespaces of the test's own
}

// base is the folder that holds all of this run. Its path is short: unix sockets are limited to 107 bytes.
var base string

var contexts = []string{"direct", "machine"}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getuid() != 0 {
		fmt.Println("acceptance: skipped, it needs root: sudo make test")
		return 0
	}
	var err error
	if base, err = os.MkdirTemp("", "naru"); err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(base)
	defer stopAll()
	return m.Run()
}

var (
	worldsMu sync.Mutex // guards worlds
	worlds   = map[string]*world{}
)

// inContext returns the installation of a context, made at the first call. The engine and the VM start by themselves
// at the first command, as for a user.
func inContext(t *testing.T, context string) *world {
	t.Helper()
	requireBuilt(t, context)
	worldsMu.Lock()
	defer worldsMu.Unlock()
	if w, ok := worlds[context]; ok {
		return w
	}
	w := newWorld(t, context)
	worlds[context] = w
	return w
}

func newWorld(t *testing.T, context string) *world {
	t.Helper()
	dir, err := os.MkdirTemp(base, context[:1])
	if err != nil {
		t.Fatal(err)
	}
	w := &world{context: context, home: filepath.Join(dir, "n"), work: filepath.Join(dir, "work")}
	home := filepath.Join(dir, "home")
	for _, d := range []string{w.home, w.work, home} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.env = []string{
		"PATH=" + filepath.Join(root, "bin") + ":" + os.Getenv("PATH"), "HOME=" + home, "NARU_HOME=" + w.home,
		"NARU_CONTEXT=" + context, "LANG=C.UTF-8", "TERM=dumb",
	}
	return w
}

func requireBuilt(t *testing.T, context string) {
	t.Helper()
	need := map[string]string{"bin/naru": "make build", "bin/crun": "make build"}
	if context == "machine" {
		need["out/image/amd64/root.erofs"] = "make image"
	}
	for file, command := range need {
		if _, err := os.Stat(filepath.Join(root, file)); err != nil {
			t.Skipf("%s is not there; run `%s`, or all of it with `make test`", file, command)
		}
	}
}

// stopAll ends every engine and VM of this run.
func stopAll() {
	worldsMu.Lock()
	defer worldsMu.Unlock()
	for _, w := range worlds {
		w.stop()
	}
}

func (w *world) stop() {
	verb := map[string]string{"direct": "engine", "machine": "machine"}[w.context]
	if r := w.exec(result{script: "naru " + verb + " stop"}); r.code != 0 {
		fmt.Printf("acceptance: naru %s stop: %s\n", verb, r)
	}
}

// result is a script that ran through bash.
type result struct {
	script         string
	stdin          string
	extra          []string // environment
	dir            string   // below the work folder, made when it is missing; "" is the work folder itself
	stdout, stderr string
	code           int // 128+n when ended by a signal, -1 when it could not run or took longer than caseTime
}

func (r result) String() string {
	return fmt.Sprintf("%s\nexit code %d\nstdout: %s\nstderr: %s", r.script, r.code, r.stdout, r.stderr)
}

// exec runs r.script with bash in w's work folder.
func (w *world) exec(r result) result {
	ctx, cancel := context.WithTimeout(context.Background(), caseTime)
	defer cancel()
	argv := append(w.prefix[:len(w.prefix):len(w.prefix)], "bash", "-c", r.script)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	if err := os.MkdirAll(filepath.Join(w.work, r.dir), 0o755); err != nil {
		r.code, r.stderr = -1, err.Error()
		return r
	}
	cmd.Dir, cmd.Env = filepath.Join(w.work, r.dir), append(w.env[:len(w.env):len(w.env)], r.extra...)
	cmd.Stdin = strings.NewReader(r.stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r.stdout, r.stderr, r.code = stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		r.code, r.stderr = -1, r.stderr+fmt.Sprintf("[took longer than %v]", caseTime)
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled():
		r.code = 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
	case err != nil && exit == nil:
		r.code, r.stderr = -1, r.stderr+err.Error()
	}
	return r
}

// sh runs a script that must succeed, and returns its stdout without the last newline.
func (w *world) sh(t *testing.T, script string, extra ...string) string {
	t.Helper()
	r := w.exec(result{script: script, extra: extra})
	if r.code != 0 {
		t.Fatal(r)
	}
	return strings.TrimSuffix(r.stdout, "\n")
}
