package relay

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"naru/guest/api"
)

// listen answers with its own path's last part.
func listen(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(filepath.Base(path)))
			_ = conn.Close()
		}
	}()
}

func ask(s *Sockets, target string) (string, error) {
	conn, err := s.Dial(context.Background(), target)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	return string(buf[:n]), err
}

func TestOnlyWhatMayBeReached(t *testing.T) {
	dir, err := os.MkdirTemp("", "relay") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"share/sub/in", "out", "named", "share/naru/own", "agent"} {
		listen(t, at(name))
	}
	for link, target := range map[string]string{"share/link": "../out", "share/dir": "..", "share/sub/again": "in", "by-link": "named"} {
		if err := os.Symlink(target, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("share/file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Sockets{Shares: []string{at("share")}, Named: []string{at("named"), at("by-link")}, Own: at("share/naru")}
	for target, want := range map[string]string{
		"unix:" + at("share/sub/in"): "in", "unix:" + at("named"): "named", "unix:" + at("by-link"): "named",
		"unix:" + at("out"): "", "unix:" + at("share/link"): "", "unix:" + at("share/dir/out"): "", "unix:" + at("share/sub/again"): "",
		"unix:" + at("share") + "/../out": "", "unix:" + at("share/naru/own"): "", "unix:" + at("share/file"): "", "unix:" + at("share/gone"): "",
		"unix:" + at("share"): "", "unix:share/sub/in": "", "unix:": "", "unix:" + at("sharex"): "", api.TargetAgent: "",
	} {
		got, err := ask(s, target)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", target, got, err, want)
		}
	}
}

// TestAgentOfNow: the agent is looked up at each connection.
func TestAgentOfNow(t *testing.T) {
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	link := filepath.Join(dir, "link")
	s := &Sockets{Agents: AgentsOf(link)}
	t.Setenv("SSH_AUTH_SOCK", "")
	if _, err := ask(s, api.TargetAgent); err == nil {
		t.Error("there is an agent")
	}
	for _, name := range []string{"first", "second"} {
		listen(t, filepath.Join(dir, name))
		t.Setenv("SSH_AUTH_SOCK", filepath.Join(dir, name))
		NoteAgent(link)
		t.Setenv("SSH_AUTH_SOCK", "")
		if got, err := ask(s, api.TargetAgent); got != name {
			t.Errorf("agent %q, %v; want %s", got, err, name)
		}
	}
}
