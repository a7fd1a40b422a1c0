package keeper

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
)

// TestNoLoss sends 50 MB through an attacher that begins to read only when the process must already be waiting for it,
// and into the log.
func TestNoLoss(t *testing.T) {
	const size = 50_000_000
	k := keep(t, newOptions(t))
	s := script(k, "big", "head -c 50000000 /dev/zero | tr '\\0' 'x'; echo end >&2")
	s.Attach = &keeperapi.Attach{Stdout: true, Stderr: true}
	s.Log = filepath.Join(k.o.Root, "log")
	_, conn, err := k.Start(t.Context(), "big", s)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	awaitLog(t, s.Log, bufferLimit) // so much was read, and more cannot be
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	var count counter
	var stderr bytes.Buffer
	if err := deframe(conn, &count, &stderr); err != nil || count.n != size || count.other != 0 || stderr.String() != "end\n" {
		t.Errorf("got %d bytes (%d of them wrong) and %q: %v", count.n, count.other, &stderr, err)
	}
	if e := k.exit(t, "big"); e.Code != 0 {
		t.Errorf("exit: %+v", e)
	}
	if info, err := os.Stat(s.Log); err != nil || info.Size() < size {
		t.Errorf("log: %v, %v", info, err)
	}
}

// counter counts bytes, and those that are not x.
type counter struct{ n, other int }

func (c *counter) Write(p []byte) (int, error) {
	c.n += len(p)
	c.other += len(p) - bytes.Count(p, []byte{'x'})
	return len(p), nil
}

// awaitLog waits until a log has at least size bytes.
func awaitLog(t *testing.T, path string, size int64) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if info, err := os.Stat(path); err == nil && info.Size() >= size {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not grow to %d bytes", path, size)
		}
	}
}

// TestGoneAttacher: a client that stops reading makes the process wait; one that goes away does not. Another client
// gets everything nevertheless.
func TestGoneAttacher(t *testing.T) {
	k := keep(t, newOptions(t))
	s := script(k, "p", "head -c 20000000 /dev/zero | tr '\\0' 'x'")
	s.Attach = &keeperapi.Attach{Stdout: true}
	s.Log = filepath.Join(k.o.Root, "log")
	_, gone, err := k.Start(t.Context(), "p", s)
	if err != nil {
		t.Fatal(err)
	}
	awaitLog(t, s.Log, bufferLimit)
	gone.Close()
	if e := k.exit(t, "p"); e.Code != 0 {
		t.Errorf("exit: %+v", e)
	}
	if info, err := os.Stat(s.Log); err != nil || info.Size() < 20_000_000 {
		t.Errorf("log: %v, %v", info, err)
	}
}

// TestSlowAttacher: a client that reads late keeps neither the log nor the exit waiting once the process has ended, and
// still gets all.
func TestSlowAttacher(t *testing.T) {
	const size = bufferLimit + 50_000 // the rest fits into the pipe, so that the process can end
	k := keep(t, newOptions(t))
	s := script(k, "p", "head -c "+strconv.Itoa(size)+" /dev/zero | tr '\\0' 'x'")
	s.Attach = &keeperapi.Attach{Stdout: true}
	s.Log = filepath.Join(k.o.Root, "log")
	_, conn, err := k.Start(t.Context(), "p", s)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	k.exit(t, "p")
	if info, err := os.Stat(s.Log); err != nil || info.Size() < size {
		t.Errorf("log: %v, %v", info, err)
	}
	if out, _ := streams(t, conn); len(out) != size {
		t.Errorf("got %d bytes", len(out))
	}
}

// TestManyAttachers: two clients hear the same, either can write to stdin, and one that half-closes its input ends
// nobody's without StdinOnce.
func TestManyAttachers(t *testing.T) {
	k := keep(t, newOptions(t))
	s := script(k, "p", "while read x; do echo \"<$x>\"; [ $x = end ] && exit 9; done")
	s.Stdin = true
	s.Attach = &keeperapi.Attach{Stdin: true, Stdout: true}
	_, one, err := k.Start(t.Context(), "p", s)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, _, err := k.Attach(t.Context(), "p", keeperapi.Attach{Stdin: true, Stdout: true})
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	if _, err := io.WriteString(one, "a\n"); err != nil {
		t.Fatal(err)
	}
	_ = one.CloseWrite()
	head := make([]byte, 8+4)
	if _, err := io.ReadFull(two, head); err != nil || string(head[8:]) != "<a>\n" {
		t.Fatalf("second client heard %q, %v", head, err)
	}
	if _, err := io.WriteString(two, "end\n"); err != nil {
		t.Fatal(err)
	}
	if out, _ := streams(t, one); out != "<a>\n<end>\n" {
		t.Errorf("first client heard %q", out)
	}
	if e := k.exit(t, "p"); e.Code != 9 {
		t.Errorf("exit: %+v", e)
	}
	if _, _, err := k.Attach(t.Context(), "p", keeperapi.Attach{Stdout: true}); !keeperapi.IsNotFound(err) {
		t.Errorf("attach to an ended process: %v", err)
	}
}

// TestEngineDoesNotStart: who asks for an engine that ends at every start is told why, also in the middle of a long body, and
// served as soon as one comes up.
func TestEngineDoesNotStart(t *testing.T) {
	k := keep(t, newOptions(t))
	fail := filepath.Join(k.o.Root, "fail")
	if err := os.WriteFile(fail, []byte("open engine: disk on fire"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(k.enginePid(t), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		conn, err := net.Dial("unix", k.o.Socket)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /build HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n%s", strings.Repeat("x", 100_000))
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		answer, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") ||
			!strings.HasSuffix(string(answer), `{"message":"the engine does not start: open engine: disk on fire"}`) {
			t.Fatalf("%v: %s", err, answer)
		}
	}
	if err := os.Remove(fail); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); k.enginePid(t) == 0; { // 0 is a refusal
		if time.Now().After(deadline) {
			t.Fatal("no engine answers")
		}
	}
}

// TestEngineDies: the engine is killed and comes back on the same socket; a process and its log go on.
func TestEngineDies(t *testing.T) {
	k := keep(t, newOptions(t))
	s := script(k, "p", "while sleep 0.01; do echo tick; done")
	s.Log = filepath.Join(k.o.Root, "log")
	if _, _, err := k.Start(t.Context(), "p", s); err != nil {
		t.Fatal(err)
	}
	before := k.enginePid(t)
	if err := unix.Kill(before, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if after := k.enginePid(t); after == before {
		t.Error("the killed engine answers")
	}
	info, err := os.Stat(s.Log)
	if err != nil {
		t.Fatal(err)
	}
	awaitLog(t, s.Log, info.Size()+1)
	if err := k.Signal(t.Context(), "p", 15); err != nil {
		t.Error(err)
	}
	if e := k.exit(t, "p"); e.Code != 143 || e.Signal != 15 {
		t.Errorf("exit: %+v", e)
	}
}

// TestKeeperDies: after kill -9 of the keeper a new one knows the durable exits, and ends the containers that run.
func TestKeeperDies(t *testing.T) {
	runtime := crun(t)
	o := newOptions(t)
	k := keep(t, o)
	for i := range 5 {
		s := script(k, strconv.Itoa(i), "exit "+strconv.Itoa(i))
		s.Durable = i != 4
		if _, _, err := k.Start(t.Context(), strconv.Itoa(i), s); err != nil {
			t.Fatal(err)
		}
		k.exit(t, strconv.Itoa(i))
	}
	if err := k.Forget(t.Context(), "3"); err != nil {
		t.Error(err)
	}
	p, _, err := k.Start(t.Context(), "c", sh("sleep 1000").start(t, k, runtime, "c"))
	if err != nil {
		t.Fatal(err)
	}
	alive, err := unix.PidfdOpen(p.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(alive)
	k.kill(t)

	k = keep(t, o)
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(alive), Events: unix.POLLIN}}, int(patience.Milliseconds())); n != 1 {
		t.Errorf("the container of the killed keeper runs on: %v", err)
	}
	list, err := k.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range list {
		if p.ID != strconv.Itoa(i) || p.Exit == nil || p.Exit.Code != i {
			t.Errorf("exit %d is %+v", i, p)
		}
	}
	if len(list) != 3 {
		t.Errorf("%d exits, want 3", len(list))
	}
}

// TestSecondKeeper and a socket path that is too long get words that help.
func TestSecondKeeper(t *testing.T) {
	o := newOptions(t)
	keep(t, o)
	refused := func(o Options, want string) {
		t.Helper()
		if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	refused(o, "another naru-keeper already runs with root "+o.Root)
	o.Socket = "/tmp/" + strings.Repeat("x", 110)
	refused(o, "at most 107")
}

// TestFullDisk: a log that cannot be written neither stops the process nor its other readers.
func TestFullDisk(t *testing.T) {
	k := keep(t, newOptions(t))
	s := script(k, "p", "head -c 1000000 /dev/zero | tr '\\0' 'x'")
	s.Attach = &keeperapi.Attach{Stdout: true}
	s.Log = "/dev/full"
	_, conn, err := k.Start(t.Context(), "p", s)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if out, _ := streams(t, conn); len(out) != 1_000_000 {
		t.Errorf("got %d bytes", len(out))
	}
	if e := k.exit(t, "p"); e.Code != 0 {
		t.Errorf("exit: %+v", e)
	}
}

// TestManyStarts holds the reaper to its promise: no exit is lost, however quickly processes end.
func TestManyStarts(t *testing.T) {
	k := keep(t, newOptions(t))
	const n = 100
	errs := make(chan error, n)
	for i := range n {
		go func() {
			id := "p" + strconv.Itoa(i)
			s := script(k, id, "exit "+strconv.Itoa(i))
			s.Durable = true
			_, _, err := k.Start(t.Context(), id, s)
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if e := k.exit(t, "p"+strconv.Itoa(i)); e.Code != i {
			t.Errorf("exit %d: %+v", i, e)
		}
	}
}

// BenchmarkKept measures what one kept, idle process costs the keeper: memory that only it uses.
func BenchmarkKept(b *testing.B) {
	k := keep(b, newOptions(b))
	before := memoryOf(b, k.cmd.Process)
	for i := range b.N {
		id := "p" + strconv.Itoa(i)
		s := script(k, id, "echo $$; exec sleep 1000")
		s.Log = filepath.Join(k.o.Root, id+".log")
		s.Stdin = true
		if _, _, err := k.Start(b.Context(), id, s); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(memoryOf(b, k.cmd.Process)-before)/float64(b.N), "KiB/process")
	b.ReportMetric(float64(before), "KiB/keeper")
}

// memoryOf is the private memory of a process in KiB.
func memoryOf(b *testing.B, p *os.Process) (kib int) {
	b.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.Pid) + "/smaps_rollup")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if fields[0] == "Private_Dirty:" || fields[0] == "Private_Clean:" {
			n, _ := strconv.Atoi(fields[1])
			kib += n
		}
	}
	return kib
}
