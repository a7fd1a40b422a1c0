package keeper

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
	"naru/guest/logfile"
)

// deframe undoes Docker's framing.
func deframe(r io.Reader, stdout, stderr io.Writer) error {
	var head [8]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		w := stdout
		if head[0] == 2 {
			w = stderr
		}
		if _, err := io.CopyN(w, r, int64(binary.BigEndian.Uint32(head[4:]))); err != nil {
			return err
		}
	}
}

// crun finds the OCI runtime: the one the project builds, or an installed one.
func crun(t testing.TB) string {
	t.Helper()
	needRoot(t)
	if path, err := filepath.Abs("../../bin/crun"); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	path, err := exec.LookPath("crun")
	if err != nil {
		t.Skip("no crun: scripts/crun amd64 bin/crun")
	}
	return path
}

// box is what a test container is made from. Its root file system is the host's programs, read-only.
type box struct {
	args []string
	tty  bool
	uid  int
}

func mount(kind, source, target string, options ...string) map[string]any {
	return map[string]any{"type": kind, "source": source, "destination": target, "options": options}
}

func (b box) process() map[string]any {
	return map[string]any{
		"terminal": b.tty, "user": map[string]any{"uid": b.uid, "gid": b.uid}, "args": b.args, "cwd": "/",
		"env": []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"},
	}
}

// start writes a bundle and returns what starts it.
func (b box) start(t testing.TB, k *kept, crun, id string) keeperapi.Start {
	t.Helper()
	bundle := filepath.Join(k.o.Root, "bundles", id)
	if err := os.MkdirAll(filepath.Join(bundle, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	mounts := []map[string]any{
		mount("proc", "proc", "/proc"),
		mount("tmpfs", "tmpfs", "/dev", "mode=755"),
		mount("devpts", "devpts", "/dev/pts", "newinstance", "ptmxmode=0666", "mode=0620"),
		mount("tmpfs", "tmpfs", "/tmp", "mode=1777"),
	}
	for _, dir := range []string{"/bin", "/sbin", "/usr", "/lib", "/lib64"} {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			mounts = append(mounts, mount("bind", real, dir, "rbind", "ro"))
		}
	}
	spec := map[string]any{
		"ociVersion": "1.0.2", "process": b.process(), "root": map[string]any{"path": "rootfs"}, "mounts": mounts,
		"linux": map[string]any{
			"cgroupsPath": "/" + k.o.Name + "/" + id,
			"namespaces":  []map[string]string{{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}},
		},
	}
	writeJSON(t, filepath.Join(bundle, "config.json"), spec)
	s := keeperapi.Start{PidFile: filepath.Join(bundle, "pid")}
	s.Args = []string{
		crun, "--root", filepath.Join(k.o.Root, "crun"), "--cgroup-manager", "cgroupfs", "run", "--detach",
		"--bundle", bundle, "--pid-file", s.PidFile,
	}
	if b.tty {
		s.ConsoleSocket = filepath.Join(bundle, "tty")
		s.Args = append(s.Args, "--console-socket", s.ConsoleSocket)
	}
	s.Args = append(s.Args, id)
	return s
}

// exec returns what starts a further process in a running container.
func (b box) exec(t testing.TB, k *kept, crun, container, id string) keeperapi.Start {
	t.Helper()
	dir := filepath.Join(k.o.Root, "bundles", container)
	s := keeperapi.Start{PidFile: filepath.Join(dir, id+".pid")}
	file := filepath.Join(dir, id+".json")
	writeJSON(t, file, b.process())
	s.Args = []string{
		crun, "--root", filepath.Join(k.o.Root, "crun"), "--cgroup-manager", "cgroupfs", "exec", "--detach",
		"--process", file, "--pid-file", s.PidFile,
	}
	if b.tty {
		s.ConsoleSocket = filepath.Join(dir, id)
		s.Args = append(s.Args, "--console-socket", s.ConsoleSocket)
	}
	s.Args = append(s.Args, container)
	return s
}

func writeJSON(t testing.TB, path string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func sh(body string) box { return box{args: []string{"/bin/sh", "-c", body}} }

// TestContainers runs real containers through one keeper.
func TestContainers(t *testing.T) {
	runtime := crun(t)
	k := keep(t, newOptions(t))
	for name, c := range map[string]struct {
		box            box
		stdin          string // "" for none; the input is half-closed after it
		signal         int    // sent when the first output was seen
		stdout, stderr string
		code           int
	}{
		"streams":  {box: sh("echo out; echo err >&2; exit 3"), stdout: "out\n", stderr: "err\n", code: 3},
		"stdin":    {box: sh("cat; echo end"), stdin: "a\nb", stdout: "a\nbend\n"},
		"no stdin": {box: sh("cat; echo end"), stdout: "end\n"},
		"reopen":   {box: box{args: []string{"/bin/sh", "-c", "echo x >/proc/self/fd/1; echo y >/proc/self/fd/2; id -u"}, uid: 1234}, stdout: "x\n1234\n", stderr: "y\n"},
		"tty":      {box: box{args: []string{"/bin/sh", "-c", "tty; while [ \"$(stty size)\" = '0 0' ]; do :; done; stty size; exit 4"}, tty: true}, stdout: "/dev/pts/0\r\n24 81\r\n", code: 4},
		"tty in":   {box: box{args: []string{"/bin/sh", "-c", "stty -echo; echo go; read x; echo \"<$x>\""}, tty: true}, stdin: "line\n", stdout: "go\r\n<line>\r\n"},
		"kill":     {box: sh("echo up; sleep 1000"), signal: 9, stdout: "up\n", code: 137},
		"trap":     {box: sh("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done"), signal: 15, stdout: "up\nbye\n", code: 7},
		"orphan":   {box: sh("(sleep 1000 &) ; echo end"), stdout: "end\n"},
	} {
		t.Run(name, func(t *testing.T) {
			id := strings.ReplaceAll(name, " ", "-")
			s := c.box.start(t, k, runtime, id)
			s.Rows, s.Cols = 24, 81
			s.Durable, s.Log = true, filepath.Join(k.o.Root, id+".log")
			s.Stdin, s.StdinOnce = c.stdin != "", c.stdin != ""
			s.Attach = &keeperapi.Attach{Stdin: s.Stdin, Stdout: true, Stderr: true}
			_, conn, err := k.Start(t.Context(), id, s)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			talk(t, k, conn, id, c.box.tty, c.stdin, c.signal, c.stdout, c.stderr)
			if e := k.exit(t, id); e.Code != c.code {
				t.Errorf("exit code %d, want %d", e.Code, c.code)
			}
			checkLog(t, s.Log, c.stdout+c.stderr)
			if err := k.Forget(t.Context(), id); err != nil {
				t.Error(err)
			}
		})
	}
	if left, err := k.List(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("after forgetting: %v, %v", left, err)
	}
}

// talk plays a client that is attached to a container: input, a signal once it has seen output, and all output.
func talk(t *testing.T, k *kept, conn *net.UnixConn, id string, tty bool, stdin string, signal int, stdout, stderr string) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	if signal != 0 || tty && stdin != "" {
		if _, err := r.Peek(1); err != nil {
			t.Fatal(err)
		}
	}
	if signal != 0 {
		if err := k.Signal(t.Context(), id, signal); err != nil {
			t.Error(err)
		}
	}
	if _, err := io.WriteString(conn, stdin); err != nil {
		t.Error(err)
	}
	if !tty {
		_ = conn.CloseWrite()
	}
	var out, errs bytes.Buffer
	var err error
	if tty {
		_, err = io.Copy(&out, r)
	} else {
		err = deframe(r, &out, &errs)
	}
	if err != nil || out.String() != stdout || errs.String() != stderr {
		t.Errorf("got %q and %q, want %q and %q (%v)", &out, &errs, stdout, stderr, err)
	}
}

// checkLog compares a log with stdout followed by stderr.
func checkLog(t *testing.T, path, want string) {
	t.Helper()
	var got strings.Builder
	for _, o := range []logfile.Options{{Stdout: true, Tail: logfile.All}, {Stderr: true, Tail: logfile.All}} {
		err := logfile.Read(t.Context(), path, o, func(e logfile.Entry) error {
			got.Write(e.Line)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if got.String() != want {
		t.Errorf("log holds %q, want %q", got.String(), want)
	}
}

// TestExec runs further processes in a container: their exit codes, their terminals, what they leave behind, and what a
// failing runtime says.
func TestExec(t *testing.T) {
	runtime := crun(t)
	k := keep(t, newOptions(t))
	if _, _, err := k.Start(t.Context(), "c", sh("sleep 1000").start(t, k, runtime, "c")); err != nil {
		t.Fatal(err)
	}
	run := func(b box, id, stdout string, code int) {
		t.Helper()
		s := b.exec(t, k, runtime, "c", id)
		s.Attach = &keeperapi.Attach{Stdout: true, Stderr: true}
		_, conn, err := k.Start(t.Context(), id, s)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		talk(t, k, conn, id, b.tty, "", 0, stdout, "")
		if e := k.exit(t, id); e.Code != code {
			t.Errorf("%s: exit code %d, want %d", id, e.Code, code)
		}
	}
	run(sh("echo hi; exit 5"), "plain", "hi\n", 5)
	run(box{args: []string{"/usr/bin/tty"}, tty: true}, "tty", "/dev/pts/0\r\n", 0)
	began := time.Now()
	run(sh("sleep 1000 & echo left"), "daemon", "left\n", 0)
	if d := time.Since(began); d < outputGrace {
		t.Errorf("the output of a daemon was waited for only %v", d)
	}
	_, _, err := k.Start(t.Context(), "bad", box{args: []string{"/no/such"}}.exec(t, k, runtime, "c", "bad"))
	if !keeperapi.IsRuntime(err) || !strings.Contains(err.Error(), "/no/such") {
		t.Errorf("exec of a missing program: %v", err)
	}
	_, _, err = k.Start(t.Context(), "c", sh("true").start(t, k, runtime, "c"))
	if !keeperapi.IsConflict(err) {
		t.Errorf("ID in use: %v", err)
	}
	if err := k.Signal(t.Context(), "bad", 9); !keeperapi.IsNotFound(err) {
		t.Errorf("signal to nothing: %v", err)
	}
	if err := k.Signal(t.Context(), "c", 9); err != nil {
		t.Error(err)
	}
	if e := k.exit(t, "c"); e.Code != 137 || e.Signal != 9 {
		t.Errorf("killed: %+v", e)
	}
}

// BenchmarkContainer measures a container's whole life through the keeper: start with an attached client, its output's
// end, its exit heard. What crun costs alone is the floor.
func BenchmarkContainer(b *testing.B) {
	runtime := crun(b)
	k := keep(b, newOptions(b))
	exits := make(chan keeperapi.Exit, 1)
	go func() { _ = k.Watch(b.Context(), func(e keeperapi.Exit) { exits <- e }) }()
	for i := range b.N {
		id := "c" + strconv.Itoa(i)
		b.StopTimer()
		s := sh("exit 3").start(b, k, runtime, id)
		b.StartTimer()
		s.Attach = &keeperapi.Attach{Stdout: true, Stderr: true}
		_, conn, err := k.Start(b.Context(), id, s)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, conn)
		if e := <-exits; e.ID != id || e.Code != 3 {
			b.Fatalf("%+v", e)
		}
		conn.Close()
	}
}

// BenchmarkCrun is that floor: crun run in the foreground, without a keeper, in its mount namespace.
func BenchmarkCrun(b *testing.B) {
	runtime := crun(b)
	k := keep(b, newOptions(b))
	for i := range b.N {
		id := "c" + strconv.Itoa(i)
		b.StopTimer()
		s := sh("exit 3").start(b, k, runtime, id)
		s.Args = slices.DeleteFunc(s.Args, func(a string) bool { return a == "--detach" })
		s.Args = slices.Insert(s.Args, 0, "nsenter", "-m", "-t", strconv.Itoa(k.cmd.Process.Pid))
		b.StartTimer()
		var exit *exec.ExitError
		if err := exec.Command(s.Args[0], s.Args[1:]...).Run(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
			b.Fatal(err)
		}
	}
}

// TestShieldedRuntime: crun is on a mount where it need not start over, and works there.
func TestShieldedRuntime(t *testing.T) {
	path := crun(t)
	inMountNamespace(t, func() {
		run := t.TempDir()
		shielded, err := shieldRuntime(run, path)
		if err != nil || shielded != filepath.Join(run, "bin", "crun") {
			t.Errorf("%q %v", shielded, err)
			return
		}
		defer unix.Unmount(shielded, unix.MNT_DETACH)
		if f, err := os.OpenFile(shielded, os.O_WRONLY, 0); !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.ETXTBSY) {
			t.Errorf("it can be written: %v %v", f, err)
		}
		if missing, err := shieldRuntime(t.TempDir(), "/nosuch"); err == nil || missing != "/nosuch" {
			t.Errorf("missing: %q %v", missing, err)
		}
	})
}

// inMountNamespace runs f on a thread in a mount namespace of its own, which ends with it.
func inMountNamespace(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "")
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Skip("needs root for a mount namespace: ", err)
	}
}
