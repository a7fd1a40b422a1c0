// Package target knows which engine the commands of one invocation talk to: the direct one, the one in the VM, or
// any Docker-compatible one named by a URL. It dials it, and starts it first when it is ours and does not run.
package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"

	"naru/host/client"
	"naru/host/direct"
	"naru/host/machine"
	"naru/host/relay"
	"naru/platform/ipc"
	"naru/platform/paths"
)

// Names of the contexts of an installation.
const (
	Direct  = "direct"
	Machine = "machine"
)

// EnvContext chooses the context of all commands; EnvDockerHost the engine of Docker's tools, and ours when nothing
// else was chosen.
const (
	EnvContext    = "NARU_CONTEXT"
	EnvDockerHost = "DOCKER_HOST"
)

// Target is one engine. The zero Target is none.
type Target struct {
	Name   string // Direct, Machine or the URL itself
	Socket string // the URL that Docker's tools take as DOCKER_HOST
	Origin string // who chose it, for people: "--context", "NARU_CONTEXT", …
	home   paths.Home
}

// IsURL tells whether it is an engine that we do not look after.
func (t Target) IsURL() bool { return t.Name != Direct && t.Name != Machine }

// Default is the context when nobody chose one.
func Default() string {
	if runtime.GOOS == "linux" {
		return Direct
	}
	return Machine
}

// Resolve finds the target: flag (--context) wins over NARU_CONTEXT, that over DOCKER_HOST, that over what `naru
// context use` stored in home, that over the system's default.
func Resolve(flag string, home paths.Home) (Target, error) {
	settings, err := load(home)
	choices := []struct{ name, origin string }{
		{flag, "--context"},
		{os.Getenv(EnvContext), EnvContext},
		{os.Getenv(EnvDockerHost), EnvDockerHost},
		{settings.Context, "naru context use"},
		{Default(), "default"},
	}
	for i, c := range choices {
		if i == 3 && err != nil {
			return Target{}, err
		}
		if c.name != "" {
			t, err := Named(c.name, home)
			t.Origin = c.origin
			return t, err
		}
	}
	return Target{}, errors.New("no context") // not reached: there is always a default
}

// Named is the target of a context's name or an engine's URL.
func Named(name string, home paths.Home) (Target, error) {
	switch {
	case name == Direct:
		return Target{Name: Direct, Socket: directURL(home), home: home}, nil
	case name == Machine:
		return Target{Name: Machine, Socket: paths.URL(home.MachineSocket()), home: home}, nil
	case strings.Contains(name, "://"):
		return Target{Name: name, Socket: name, home: home}, nil
	}
	return Target{}, fmt.Errorf("unknown context %q: it is %s, %s or the URL of a socket", name, Direct, Machine)
}

func directURL(home paths.Home) string { return "unix://" + home.DirectSocket() }

// Dialer returns how to reach the engine. One of ours is started by the first dial that finds nobody; progress hears
// of the steps (nil: nobody does). With start false it never is.
func (t Target) Dialer(start bool, progress func(step string)) (client.Dialer, error) {
	switch t.Name {
	case Direct:
		return t.starting(t.home.DirectSocket(), start, func(ctx context.Context) error {
			return direct.Ensure(ctx, t.home)
		}), nil
	case Machine:
		relay.NoteAgent(t.home.MachineAgent())
		return t.starting(t.home.MachineSocket(), start, func(ctx context.Context) error {
			_, err := machine.Ensure(ctx, t.home, progress)
			return err
		}), nil
	}
	return client.DialURL(t.Socket, tlsDir(t.Socket))
}

// starting dials a socket of ours and runs ensure when nobody listens there.
func (t Target) starting(socket string, start bool, ensure func(context.Context) error) client.Dialer {
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := ipc.Dial(ctx, socket)
		if err == nil || !start || !ipc.IsAbsent(err) {
			return conn, err
		}
		if err := ensure(ctx); err != nil {
			return nil, &StartError{Target: t, Err: err}
		}
		return ipc.Dial(ctx, socket)
	}
}

// StartError says that an engine of ours does not run and could not be started.
type StartError struct {
	Target Target
	Err    error
}

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// tlsDir is Docker's DOCKER_CERT_PATH when its environment asks for TLS.
func tlsDir(url string) string {
	if !strings.HasPrefix(url, "tcp://") && !strings.HasPrefix(url, "https://") {
		return ""
	}
	if os.Getenv("DOCKER_TLS_VERIFY") == "" && os.Getenv("DOCKER_TLS") == "" {
		return ""
	}
	if dir := os.Getenv("DOCKER_CERT_PATH"); dir != "" {
		return dir
	}
	home, _ := os.UserHomeDir()
	return home + "/.docker"
}
