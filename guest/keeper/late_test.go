package keeper

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"naru/guest/keeper/keeperapi"
	"naru/guest/logfile"
)

// TestLateAttacherIsCutOff: who attaches to a running process and does not read stops neither the process nor anybody
// else; its own stream ends. Who reads slowly, but reads, gets everything.
func TestLateAttacherIsCutOff(t *testing.T) {
	const size = 40_000_000
	k := keep(t, newOptions(t))
	s := script(k, "p", "read x; head -c 40000000 /dev/zero | tr '\\0' 'x'")
	s.Stdin = true
	s.Attach = &keeperapi.Attach{Stdin: true, Stdout: true}
	_, first, err := k.Start(t.Context(), "p", s)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	late := make([]net.Conn, 2)
	for i := range late {
		conn, _, err := k.Attach(t.Context(), "p", keeperapi.Attach{Stdout: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		late[i] = conn
	}
	if _, err := io.WriteString(first, "go\n"); err != nil {
		t.Fatal(err)
	}
	slow := make(chan int, 1)
	go func() {
		var n counter
		_ = deframe(&unhurried{late[0]}, &n, io.Discard)
		slow <- n.n
	}()
	if out, _ := streams(t, first); len(out) != size {
		t.Errorf("the first client got %d bytes", len(out))
	}
	if e := k.exit(t, "p"); e.Code != 0 {
		t.Errorf("exit: %+v", e)
	}
	if n := <-slow; n != size {
		t.Errorf("the slow client got %d bytes", n)
	}
	rest, err := io.ReadAll(late[1])
	if err != nil || len(rest) >= size {
		t.Errorf("the client that did not read got %d bytes, %v", len(rest), err)
	}
}

// unhurried takes its time, but far less than lateGrace for each buffer.
type unhurried struct{ net.Conn }

func (u *unhurried) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return u.Conn.Read(p[:min(len(p), 64<<10)])
}

// TestAwait: those who attach before the start all hear the first byte; a start that fails ends their streams.
func TestAwait(t *testing.T) {
	k := keep(t, newOptions(t))
	attach := keeperapi.Attach{Stdout: true, Await: true, Framing: keeperapi.FramingRaw}
	var conns []net.Conn
	for range 4 {
		conn, _, err := k.Attach(t.Context(), "p", attach)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	conns[3].Close()
	if _, _, err := k.Start(t.Context(), "p", script(k, "p", "echo first; echo second")); err != nil {
		t.Fatal(err)
	}
	for i, conn := range conns[:3] {
		if got, err := io.ReadAll(conn); string(got) != "first\nsecond\n" {
			t.Errorf("client %d heard %q, %v", i, got, err)
		}
	}
	k.exit(t, "p")
	conn, _, err := k.Attach(t.Context(), "bad", attach)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, _, err := k.Start(t.Context(), "bad", keeperapi.Start{Args: []string{"/no/such"}, PidFile: "/no/such"}); err == nil {
		t.Error("it started")
	}
	if got, err := io.ReadAll(conn); len(got) > 0 || err != nil {
		t.Errorf("after a start that failed: %q, %v", got, err)
	}
}

// TestMark: the log up to the mark and the stream from there on are the output, without a gap or a byte twice, while
// the log is rotated.
func TestMark(t *testing.T) {
	const lines = 3000
	k := keep(t, newOptions(t))
	s := script(k, "p", fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo $i; i=$((i+1)); done", lines))
	s.Log = filepath.Join(k.o.Root, "log")
	s.LogConfig = logfile.Config{MaxSize: 10000, MaxFiles: 100}
	if _, _, err := k.Start(t.Context(), "p", s); err != nil {
		t.Fatal(err)
	}
	awaitLog(t, s.Log, 100)
	var got strings.Builder
	r := logfile.NewReader(s.Log, logfile.Options{Stdout: true, Tail: logfile.All}, func(e logfile.Entry) error {
		got.Write(e.Line)
		return nil
	})
	defer r.Close()
	if err := r.CatchUp(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	conn, mark, err := k.Attach(t.Context(), "p", keeperapi.Attach{Stdout: true, Mark: true})
	if keeperapi.IsNotFound(err) {
		t.Skip("it ended before we came")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := r.CatchUp(t.Context(), mark); err != nil {
		t.Fatal(err)
	}
	out, _ := streams(t, conn)
	var want strings.Builder
	for i := range lines {
		fmt.Fprintln(&want, i)
	}
	if got.String()+out != want.String() {
		t.Errorf("%d bytes of log and %d of stream are not the %d of output", got.Len(), len(out), want.Len())
	}
	k.exit(t, "p")
	if _, err := os.Stat(s.Log + ".1"); err != nil {
		t.Error(err)
	}
}
