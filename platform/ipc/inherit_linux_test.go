package ipc

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestInherited: systemd holds the socket, and starts us for the first who connects.
func TestInherited(t *testing.T) {
	if path := os.Getenv("NARU_TEST_INHERITED"); path != "" { // the child
		ln, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "started")
		_ = conn.Close()
		_ = ln.Close()
		return
	}
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Skipf("%v; it is part of systemd", err)
	}
	path := filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", `umask 177; exec "$@"`, "sh", activate, "-E", "NARU_TEST_INHERITED="+path, "-l", path, os.Args[0], "-test.run=^TestInherited$")
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	}()
	for {
		conn, err := Dial(ctx, path)
		if IsAbsent(err) && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond) // systemd-socket-activate does not say when it listens
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if string(got) != "started" {
			t.Fatalf("%q, %v", got, err)
		}
		break
	}
	if _, err := os.Stat(path); err != nil {
		t.Error("the socket went with who was started for it: ", err)
	}
}
