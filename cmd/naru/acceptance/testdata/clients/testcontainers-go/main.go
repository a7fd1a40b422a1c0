// Command testcontainers-go does what the guides of Testcontainers for Go do, and prints each step that has passed. It runs without
// Ryuk, whose image is on Docker Hub only: TESTCONTAINERS_RYUK_DISABLED is the documented switch.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"
)

const (
	patience = 2 * time.Minute
	// Debian's python3-minimal has no http.server.
	server = `
import socket
s = socket.create_server(("", 8000))
print("ready to serve", flush=True)
while True:
    c, _ = s.accept()
    try:
        if c.recv(4096): c.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + open("/srv/page", "rb").read())
    except OSError: pass
    c.close()`
	client = `
import socket
s = socket.create_connection(("shop", 8000))
s.sendall(b"GET / HTTP/1.0\r\n\r\n")
print(s.makefile().read().split()[-1])`
)

var image = os.Getenv("IMG")

var steps = []struct {
	name string
	do   func(context.Context) error
}{
	{"port, log and HTTP", reach}, {"exec and copy", work}, {"a network with an alias", talk}, {"build", build},
	{"a database that is healthy", database}, {"stop, start, state", stopStart}, {"a container that fails", fails},
}

func main() {
	for _, s := range steps {
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		err := s.do(ctx)
		cancel()
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err)
			os.Exit(1)
		}
		fmt.Println(s.name)
	}
}

// with runs a container for as long as do needs it.
func with(ctx context.Context, req testcontainers.ContainerRequest, do func(testcontainers.Container) error) error {
	c, err := testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{ContainerRequest: req, Started: true})
	if c != nil {
		defer func() { _ = c.Terminate(context.WithoutCancel(ctx), testcontainers.StopTimeout(0)) }()
	}
	if err != nil {
		return err
	}
	return do(c)
}

func web() testcontainers.ContainerRequest {
	return testcontainers.ContainerRequest{
		Image: image, Cmd: []string{"python3", "-c", server}, ExposedPorts: []string{"8000/tcp"}, WorkingDir: "/srv",
		WaitingFor: wait.ForAll(wait.ForLog("ready to serve"), wait.ForListeningPort("8000/tcp"), wait.ForHTTP("/").WithPort("8000/tcp")).WithDeadline(patience),
		Files:      []testcontainers.ContainerFile{{Reader: strings.NewReader("page"), ContainerFilePath: "/srv/page", FileMode: 0o644}},
	}
}

func want(what, got, want string) error {
	if got != want {
		return fmt.Errorf("%s: %q, want %q", what, got, want)
	}
	return nil
}

func reach(ctx context.Context) error {
	return with(ctx, web(), func(c testcontainers.Container) error {
		url, err := c.PortEndpoint(ctx, "8000/tcp", "http")
		if err != nil {
			return err
		}
		resp, err := http.Get(url + "/page")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		logs, err := c.Logs(ctx)
		if err != nil {
			return err
		}
		defer logs.Close()
		text, err := io.ReadAll(logs)
		return errors.Join(err, want("page", string(page), "page"), want("log", strings.Split(string(text), "\n")[0], "ready to serve"))
	})
}

func sleeper() testcontainers.ContainerRequest {
	return testcontainers.ContainerRequest{Image: image, Cmd: []string{"sleep", "1000"}, Env: map[string]string{"A": "b"}, Labels: map[string]string{"l": "v"}}
}

func work(ctx context.Context) error {
	return with(ctx, sleeper(), func(c testcontainers.Container) error {
		code, out, err := c.Exec(ctx, []string{"sh", "-c", "echo $A; exit 3"}, exec.Multiplexed())
		if err != nil {
			return err
		}
		text, err := io.ReadAll(out)
		if err != nil {
			return err
		}
		if err := c.CopyToContainer(ctx, []byte("sent"), "/tmp/sent", 0o600); err != nil {
			return err
		}
		back, err := c.CopyFileFromContainer(ctx, "/tmp/sent")
		if err != nil {
			return err
		}
		defer back.Close()
		file, err := io.ReadAll(back)
		return errors.Join(err, want("exec", fmt.Sprint(code, string(text)), "3b\n"), want("copy", string(file), "sent"))
	})
}

func talk(ctx context.Context) error {
	net, err := network.New(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = net.Remove(context.WithoutCancel(ctx)) }()
	serves := web()
	serves.Networks, serves.NetworkAliases = []string{net.Name}, map[string][]string{net.Name: {"shop"}}
	return with(ctx, serves, func(testcontainers.Container) error {
		asks := sleeper()
		asks.Networks = []string{net.Name}
		return with(ctx, asks, func(c testcontainers.Container) error {
			_, out, err := c.Exec(ctx, []string{"python3", "-c", client}, exec.Multiplexed())
			if err != nil {
				return err
			}
			text, err := io.ReadAll(out)
			return errors.Join(err, want("by its alias", string(text), "page\n"))
		})
	})
}

func build(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "tc")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(dir+"/Dockerfile", []byte("ARG BASE\nFROM ${BASE}\nRUN echo made >/made\nCMD cat /made\n"), 0o644); err != nil {
		return err
	}
	var log bytes.Buffer
	req := testcontainers.ContainerRequest{
		FromDockerfile: testcontainers.FromDockerfile{Context: dir, BuildArgs: map[string]*string{"BASE": &image}, BuildLogWriter: &log},
		WaitingFor:     wait.ForExit().WithExitTimeout(patience),
	}
	return with(ctx, req, func(c testcontainers.Container) error {
		logs, err := c.Logs(ctx)
		if err != nil {
			return err
		}
		defer logs.Close()
		text, err := io.ReadAll(logs)
		return errors.Join(err, want("of the build", string(text), "made\n"))
	})
}

func database(ctx context.Context) error {
	req := testcontainers.ContainerRequest{
		Image: os.Getenv("POSTGRES"), ExposedPorts: []string{"5432/tcp"}, Env: map[string]string{"POSTGRES_PASSWORD": "secret"},
		Tmpfs:      map[string]string{"/var/lib/postgresql/data": "rw"},
		WaitingFor: wait.ForExec([]string{"pg_isready", "-h", "127.0.0.1"}).WithStartupTimeout(patience),
	}
	return with(ctx, req, func(c testcontainers.Container) error {
		_, out, err := c.Exec(ctx, []string{"psql", "-U", "postgres", "-Atc", "SELECT 6*7"}, exec.Multiplexed())
		if err != nil {
			return err
		}
		text, err := io.ReadAll(out)
		return errors.Join(err, want("select", string(text), "42\n"))
	})
}

func stopStart(ctx context.Context) error {
	return with(ctx, sleeper(), func(c testcontainers.Container) error {
		now := time.Duration(0)
		if err := c.Stop(ctx, &now); err != nil {
			return err
		}
		stopped, err := c.State(ctx)
		if err != nil {
			return err
		}
		if err := c.Start(ctx); err != nil {
			return err
		}
		started, err := c.State(ctx)
		if err != nil {
			return err
		}
		return want("states", fmt.Sprintf("%s %d %s", stopped.Status, stopped.ExitCode, started.Status), "exited 137 running")
	})
}

func fails(ctx context.Context) error {
	req := sleeper()
	req.Cmd = []string{"sh", "-c", "exit 7"}
	req.WaitingFor = wait.ForLog("never").WithStartupTimeout(patience)
	err := with(ctx, req, func(testcontainers.Container) error { return errors.New("it counts as started") })
	if err == nil || !strings.Contains(err.Error(), "container exited with code 7") {
		return fmt.Errorf("want the exit code, got: %w", err)
	}
	return nil
}
