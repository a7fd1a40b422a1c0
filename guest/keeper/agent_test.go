package keeper

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// TestAgent is the host talking to the guest's keeper.
func TestAgent(t *testing.T) {
	o := newOptions(t)
	o.Config = &api.Config{Version: api.Version, Token: "secret"}
	k := keep(t, o)
	<-k.ready
	dial := func(h api.Hello, payload string) (*net.UnixConn, *bufio.Reader) {
		t.Helper()
		conn, err := net.Dial("unix", filepath.Join(o.Root, "agent.sock"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(patience))
		line, _ := json.Marshal(h)
		if _, err := conn.Write(append(append(line, '\n'), payload...)); err != nil {
			t.Fatal(err)
		}
		return conn.(*net.UnixConn), bufio.NewReader(conn)
	}
	hello := api.Hello{Version: api.Version, Token: "secret", Kind: api.KindControl}

	for name, wrong := range map[string]api.Hello{
		"token":   {Version: api.Version, Token: "secreT", Kind: api.KindControl},
		"empty":   {Version: api.Version, Kind: api.KindControl},
		"version": {Version: api.Version + 1, Token: "secret", Kind: api.KindControl},
		"kind":    {Version: api.Version, Token: "secret", Kind: api.KindDocker},
	} {
		if _, r := dial(wrong, `{"op":"status"}`+"\n"); !ended(r) {
			t.Errorf("wrong %s is answered", name)
		}
	}
	if _, r := dial(api.Hello{Token: strings.Repeat("x", api.MaxHello)}, ""); !ended(r) {
		t.Error("an endless hello is answered")
	}

	control := func(op string) api.ControlReply {
		t.Helper()
		_, r := dial(hello, `{"op":"`+op+`"}`+"\n")
		var rep api.ControlReply
		if err := json.NewDecoder(r).Decode(&rep); err != nil {
			t.Fatalf("%s: %v", op, err)
		}
		return rep
	}
	s := control(api.OpStatus).Status
	if s == nil || !s.EngineRunning || s.Kernel == "" || s.MemoryUsed == 0 || s.MemoryTotal <= s.MemoryUsed ||
		s.DataTotal <= s.DataUsed || time.Since(s.Booted) < 0 {
		t.Errorf("status: %+v", s)
	}
	if rep := control("dance"); rep.Error == "" {
		t.Error("an unknown operation is no error")
	}

	hello.Kind, hello.Command = api.KindShell, "cat; echo end >&2"
	conn, r := dial(hello, "in\n")
	_ = conn.CloseWrite()
	if out, err := io.ReadAll(r); err != nil || string(out) != "in\nend\n" {
		t.Errorf("piped shell: %q, %v", out, err)
	}
	hello.Command, hello.Term, hello.Rows, hello.Cols = "", "vt100", 33, 44
	_, r = dial(hello, "stty -echo; PS1=; echo $TERM; stty size; exit\n")
	if out, err := io.ReadAll(r); err != nil || !strings.Contains(string(out), "vt100\r\n33 44\r\n") {
		t.Errorf("shell on a terminal: %q, %v", out, err)
	}
	hello.Command, hello.Term = "sleep 1000", ""
	dial(hello, "") // is hung up when the guest is powered off
	hello.Kind = api.KindControl
	control(api.OpPoweroff)
	if err := k.cmd.Wait(); err != nil {
		t.Errorf("poweroff: %v: %s", err, k.out)
	}
}

func ended(r io.Reader) bool {
	_, err := r.Read(make([]byte, 1))
	return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET)
}

// TestOnlyTheHost connects over vsock's loopback, as a container could, with the right token.
func TestOnlyTheHost(t *testing.T) {
	if _, err := os.Stat("/sys/module/vsock_loopback"); err != nil { // connecting would time out
		t.Skip("no vsock loopback: modprobe vsock_loopback")
	}
	file, err := listenVsock(unix.VMADDR_PORT_ANY)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ln, err := vsock.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{o: Options{Config: &api.Config{Token: "secret"}}, log: slog.New(slog.DiscardHandler), stop: func() { t.Error("powered off") }}
	done := make(chan struct{})
	go func() { k.serveAgent(t.Context(), ln); close(done) }()
	defer func() { ln.Close(); <-done }()
	conn, err := vsock.Dial(unix.VMADDR_CID_LOCAL, ln.Addr().(*vsock.Addr).Port, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, `{"version":1,"token":"secret","kind":"control"}`+"\n"+`{"op":"poweroff"}`+"\n")
	if !ended(conn) {
		t.Error("a peer that is not the host is answered")
	}
}

func TestIsHost(t *testing.T) {
	for addr, want := range map[net.Addr]bool{
		&vsock.Addr{ContextID: vsock.Host, Port: 5}: true, &vsock.Addr{ContextID: vsock.Local}: false,
		&vsock.Addr{ContextID: 3}: false, &net.UnixAddr{}: false,
	} {
		if isHost(addr) != want {
			t.Errorf("isHost(%v) is %v", addr, !want)
		}
	}
}
