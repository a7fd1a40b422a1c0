package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// networkCases measure what crosses networks. Both engines run in network namespaces of their own, each with a neighbour on
// its link, from where published ports are asked.
func networkCases(root, dir string) []engineCase {
	cases := []engineCase{
		{name: "500 networks", run: func(n int) (row, error) {
			return onNetworks(root, dir, func(a, b *peer) (row, error) {
				return byTurns("500 networks made and removed", "docker", 1, a.manyNetworks, b.manyNetworks)
			})
		}},
		{name: "a port among 2,000", run: func(n int) (row, error) {
			return onNetworks(root, dir, func(a, b *peer) (row, error) {
				for _, p := range []*peer{a, b} {
					if _, err := timed(p.command("run", "-d", "-p", "20000-21999:20000-21999", image, "sleep", "10000")); err != nil {
						return row{}, err
					}
				}
				return byTurns("a port added and removed among 2,000", "docker", n, a.onePort, b.onePort)
			})
		}},
	}
	for _, m := range []struct{ name, kind, n string }{
		{"1 GiB", "bytes", "1024"}, {"20,000 requests", "requests", "20000"}, {"2,000 connections", "connections", "2000"},
	} {
		cases = append(cases,
			engineCase{name: "network: container to container, " + m.name, run: func(n int) (row, error) { return trafficRow(root, dir, n, m.name, m.kind, m.n, false) }},
			engineCase{name: "network: published port, " + m.name, run: func(n int) (row, error) { return trafficRow(root, dir, n, m.name, m.kind, m.n, true) }})
	}
	return cases
}

// peer is a contender with its host's network, and a neighbour.
type peer struct {
	*contender
	host, neighbour *os.Process
	program         string
	serverIP        string
}

func trafficRow(root, dir string, n int, name, kind, count string, published bool) (row, error) {
	return onNetworks(root, dir, func(a, b *peer) (row, error) {
		way := "container to container"
		if published {
			way = "published port"
		}
		for _, p := range []*peer{a, b} {
			if err := p.serve(); err != nil {
				return row{}, err
			}
		}
		return byTurns(way+", "+name, "docker", n,
			func() (time.Duration, error) { return a.measure(kind, count, published) },
			func() (time.Duration, error) { return b.measure(kind, count, published) })
	})
}

// onNetworks starts both engines, and stops them after f.
func onNetworks(root, dir string, f func(naru, docker *peer) (row, error)) (row, error) {
	at, err := os.MkdirTemp(dir, "n")
	if err != nil {
		return row{}, err
	}
	program := filepath.Join(at, "traffic")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./cmd/naru/bench/traffic")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if _, err := timed(build); err != nil {
		return row{}, err
	}
	docker, err := startDocker(root, filepath.Join(at, "d"))
	if err != nil {
		return row{}, err
	}
	defer docker.stop()
	theirs := &peer{contender: docker, host: docker.daemon.Process, program: program}
	defer theirs.leave()
	if err := theirs.link(); err != nil {
		return row{}, err
	}
	host, err := holdNamespace()
	if err != nil {
		return row{}, err
	}
	defer end(host)
	ours := &peer{host: host, program: program, contender: &contender{
		name: "naru", cli: append(enter(host), filepath.Join(root, "bin/naru")),
		env: []string{"NARU_HOME=" + filepath.Join(at, "h"), "NARU_CONTEXT=direct"}, stopCmd: []string{"engine", "stop"},
	}}
	defer ours.leave()
	defer ours.stop()
	if err := ours.link(); err != nil {
		return row{}, err
	}
	if err := ours.importImage(root); err != nil {
		return row{}, err
	}
	return f(ours, theirs)
}

// enter leads a command into a process's network.
func enter(p *os.Process) []string {
	return []string{"nsenter", "--net=/proc/" + strconv.Itoa(p.Pid) + "/ns/net"}
}

// holdNamespace starts a process in a network namespace of its own.
func holdNamespace() (*os.Process, error) {
	cmd := exec.Command("unshare", "--net", "--", "sh", "-c", "ip link set lo up; echo up; exec sleep 100000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_, err = out.Read(make([]byte, 8))
	return cmd.Process, err
}

func end(p *os.Process) {
	_ = p.Kill()
	_, _ = p.Wait()
}

// link gives the host 192.0.2.1 and makes the neighbour.
func (p *peer) link() (err error) {
	if p.neighbour, err = holdNamespace(); err != nil {
		return err
	}
	script := fmt.Sprintf(`set -e
ip link add up0 type veth peer name up0 netns %[1]d; ip addr add 192.0.2.1/24 dev up0; ip link set up0 up
nsenter --net=/proc/%[1]d/ns/net sh -ec 'ip addr add 192.0.2.2/24 dev up0; ip link set up0 up'`, p.neighbour.Pid)
	_, err = timed(exec.Command("nsenter", append(enter(p.host)[1:], "sh", "-c", script)...))
	return err
}

func (p *peer) leave() {
	if p.neighbour != nil {
		end(p.neighbour)
	}
}

// serve starts the server and the client on a network of their own.
func (p *peer) serve() error {
	for _, args := range [][]string{
		{"network", "create", "bench"},
		{"run", "-d", "--name", "server", "--network", "bench", "-p", "9000:9000", "-v", p.program + ":/traffic:ro", image, "/traffic", "serve"},
		{"run", "-d", "--name", "client", "--network", "bench", "-v", p.program + ":/traffic:ro", image, "sleep", "10000"},
	} {
		if _, err := timed(p.command(args...)); err != nil {
			return err
		}
	}
	p.serverIP = text(p.command("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "server"))
	for end := time.Now().Add(time.Minute); !strings.Contains(text(p.command("logs", "server")), "up"); {
		if time.Now().After(end) {
			return fmt.Errorf("%s: the server does not start", p.name)
		}
	}
	return nil
}

// measure asks the server from the other container, or its published port from the neighbour, and returns what the client measured.
func (p *peer) measure(kind, count string, published bool) (time.Duration, error) {
	cmd := p.command("exec", "client", "/traffic", kind, p.serverIP+":9000", count)
	if published {
		cmd = exec.Command("nsenter", append(enter(p.neighbour)[1:], p.program, kind, "192.0.2.1:9000", count)...)
	}
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %v: %w", p.name, cmd.Args, err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return time.Duration(ns), err
}

// manyNetworks makes and removes 500 networks of the user's subnets: Docker's own pools end earlier.
func (p *peer) manyNetworks() (time.Duration, error) {
	start := time.Now()
	remove := []string{"network", "rm"}
	for i := range 500 {
		name := fmt.Sprint("n", i)
		if _, err := timed(p.command("network", "create", "--subnet", fmt.Sprintf("10.%d.%d.0/24", 100+i/250, i%250), name)); err != nil {
			return 0, err
		}
		remove = append(remove, name)
	}
	_, err := timed(p.command(remove...))
	return time.Since(start), err
}

// onePort starts and removes a container with one published port.
func (p *peer) onePort() (time.Duration, error) {
	return timed(p.command("run", "--rm", "-p", "9999:80", image, "true"))
}
