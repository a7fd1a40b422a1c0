package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// imageCases pull from a registry on loopback, in the host's own network. A pull is complete when its command ends: fetched,
// checked and unpacked. Each engine is timed by turns with all the others, and the row tells of the fastest of those. Every
// pull is of another image, and those before stay: ext4 takes long to make files anew for minutes after many were removed
// (recently_deleted in fs/ext4/ialloc.c), and that would be all that is seen.
func imageCases(root, dir string) []engineCase {
	return []engineCase{
		{name: "images: pull of 1 × 300 MB", run: func(n int) (row, error) { return pullRow(root, dir, min(n, 4), oneLarge) }},
		{name: "images: pull of 20 × 20 MB", run: func(n int) (row, error) { return pullRow(root, dir, min(n, 4), twentyLayers) }},
		{name: "images: pull of 60,000 files", run: func(n int) (row, error) { return pullRow(root, dir, min(n, 4), manyFiles) }},
		{name: "images: pull again, nothing new", run: func(n int) (row, error) { return againRow(root, dir, n) }},
		{name: "images: delete of 60,000 files", run: func(n int) (row, error) { return deleteRow(root, dir, min(n, 4)) }},
		{name: "images: memory of 20 pulls at once", run: func(n int) (row, error) { return memoryRow(root, dir, min(n, 3)) }},
	}
}

// imageStore is an engine as a keeper of images.
type imageStore struct {
	*contender
	pull, remove []string // the command's words before the image
	layers       string   // folder that holds a folder for each layer
}

func (s *imageStore) run(words []string, ref string) (time.Duration, error) {
	return timed(s.command(append(words[:len(words):len(words)], ref)...))
}

// removed removes an image of one layer and waits until its files are gone. The first time is that of the command.
func (s *imageStore) removed(ref string) (command, files time.Duration, err error) {
	before, err := os.ReadDir(s.layers)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if command, err = s.run(s.remove, ref); err != nil {
		return 0, 0, err
	}
	for {
		left, err := os.ReadDir(s.layers)
		if err != nil || len(left) < len(before) {
			return command, time.Since(start), err
		}
		if time.Since(start) > 2*time.Minute {
			return 0, 0, fmt.Errorf("%s: %s still holds the files of %s", s.name, s.layers, ref)
		}
		time.Sleep(time.Millisecond)
	}
}

// onRegistry starts a registry and all engines, and stops them after f. naru comes first.
func onRegistry(root, dir string, f func(addr string, all []*imageStore) (row, error)) (row, error) {
	at, err := os.MkdirTemp(dir, "i")
	if err != nil {
		return row{}, err
	}
	defer os.RemoveAll(at)
	reg, err := startRegistry(root, filepath.Join(at, "registry"))
	if err != nil {
		return row{}, err
	}
	defer reg.stop()
	home := filepath.Join(at, "n")
	naru := &imageStore{
		contender: &contender{name: "naru", cli: []string{filepath.Join(root, "bin/naru")},
			env: []string{"NARU_HOME=" + home, "NARU_CONTEXT=direct"}, stopCmd: []string{"engine", "stop"}},
		pull: []string{"pull", "-q"}, remove: []string{"rmi"}, layers: filepath.Join(home, "engine/snapshots/snapshots"),
	}
	defer naru.stop()
	if _, err := timed(naru.command("engine", "start")); err != nil {
		return row{}, err
	}
	all := []*imageStore{naru}
	folder := newDockerFolder
	if _, err := os.Stat(filepath.Join(root, folder, "bin/dockerd")); errors.Is(err, os.ErrNotExist) {
		folder = dockerFolder
	}
	for _, start := range []func(string, string) (*imageStore, error){startImagesDocker(folder), startContainerd} {
		s, err := start(root, filepath.Join(at, strconv.Itoa(len(all))))
		if err != nil {
			return row{}, err
		}
		defer s.stop()
		all = append(all, s)
	}
	return f(reg.addr, all)
}

// newDockerFolder holds a newer dockerd where it runs.
const newDockerFolder = ".cache/peers/docker-28"

// startImagesDocker starts dockerd in the host's network, told to leave that alone: it runs no container.
func startImagesDocker(folder string) func(root, dir string) (*imageStore, error) {
	return func(root, dir string) (*imageStore, error) {
		daemon := exec.Command("unshare", "--mount", "--", "dockerd", "--data-root", dir+"/data", "--exec-root", dir+"/exec", "--pidfile", dir+"/pid",
			"--host", "unix://"+dir+"/docker.sock", "--log-level", "error", "--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false")
		daemon.Env = append(os.Environ(), "PATH="+filepath.Join(root, folder, "bin")+":"+filepath.Join(root, dockerFolder, "bin")+":"+os.Getenv("PATH"))
		c, err := startDaemon(daemon, dir)
		if err != nil {
			return nil, err
		}
		c.name, c.cli = filepath.Base(folder), []string{filepath.Join(root, dockerFolder, "bin/docker"), "--host", "unix://" + dir + "/docker.sock"}
		if err := firstAnswer(dir + "/docker.sock"); err != nil {
			c.stop()
			return nil, err
		}
		return &imageStore{contender: c, pull: []string{"pull", "-q"}, remove: []string{"rmi"}, layers: dir + "/data/overlay2"}, nil
	}
}

func startDaemon(daemon *exec.Cmd, dir string) (*contender, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return &contender{daemon: daemon}, daemon.Start()
}

// startContainerd starts containerd without Docker. Its command line is ctr.
func startContainerd(root, dir string) (*imageStore, error) {
	bin := filepath.Join(root, dockerFolder, "bin")
	config := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n",
		dir+"/root", dir+"/state", dir+"/containerd.sock")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(dir+"/config.toml", []byte(config), 0o644); err != nil {
		return nil, err
	}
	c, err := startDaemon(exec.Command("unshare", "--mount", "--", filepath.Join(bin, "containerd"), "--config", dir+"/config.toml", "--log-level", "error"), dir)
	if err != nil {
		return nil, err
	}
	c.name, c.cli = "ctr", []string{filepath.Join(bin, "ctr"), "--address", dir + "/containerd.sock"}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err = timed(c.command("version")); err == nil {
			break
		}
		if time.Since(start) > time.Minute {
			c.stop()
			return nil, err
		}
	}
	return &imageStore{contender: c, pull: []string{"images", "pull", "--plain-http"}, remove: []string{"images", "rm", "--sync"},
		layers: dir + "/root/io.containerd.snapshotter.v1.overlayfs/snapshots"}, nil
}

// fastest makes a row of naru's times, the first, and those of the fastest of the others, taken by turns.
func fastest(name string, all []*imageStore, times [][]float64) row {
	var best row
	for i, s := range all[1:] {
		if r := rowOf(name, s.name, times[0], times[i+1]); i == 0 || r.Other.Median < best.Other.Median {
			best = r
		}
		fmt.Fprintf(os.Stderr, "%s: %s %s\n", name, s.name, spreadOf(times[i+1]))
	}
	return best
}

// rounds times f for every engine by turns, after one uncounted round, and starts each with a disk that has nothing to write.
func rounds(n int, all []*imageStore, f func(s *imageStore, i int) ([]time.Duration, error)) ([][][]float64, error) {
	var out [][][]float64
	for i := range n + 1 {
		for j, s := range all {
			syscall.Sync()
			d, err := f(s, i)
			if err != nil {
				return nil, err
			}
			for k := range d {
				if len(out) == k {
					out = append(out, make([][]float64, len(all)))
				}
				if i > 0 {
					out[k][j] = append(out[k][j], float64(d[k].Microseconds())/1000)
				}
			}
		}
	}
	return out, nil
}

// pushAll makes the images of n rounds.
func (k imageKind) pushAll(root, addr string, n int) ([]string, error) {
	var refs []string
	for i := range n + 1 {
		ref, err := k.push(root, addr, fmt.Sprintf("bench/image:%d", i), uint64(i))
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

func pullRow(root, dir string, n int, what imageKind) (row, error) {
	return onRegistry(root, dir, func(addr string, all []*imageStore) (row, error) {
		refs, err := what.pushAll(root, addr, n)
		if err != nil {
			return row{}, err
		}
		times, err := rounds(n, all, func(s *imageStore, i int) ([]time.Duration, error) {
			took, err := s.run(s.pull, refs[i])
			return []time.Duration{took}, err
		})
		if err != nil {
			return row{}, err
		}
		return fastest("pull of "+what.name, all, times[0]), nil
	})
}

// againRow pulls what is there already, and counts what naru asks the registry for.
func againRow(root, dir string, n int) (row, error) {
	return onRegistry(root, dir, func(addr string, all []*imageStore) (row, error) {
		if _, err := twentyLayers.pushAll(root, addr, 0); err != nil {
			return row{}, err
		}
		count := countRequests(addr)
		defer count.Close()
		ref := strings.TrimPrefix(count.URL, "http://") + "/bench/image:0"
		for _, s := range all {
			if _, err := s.run(s.pull, ref); err != nil {
				return row{}, err
			}
		}
		times, err := rounds(n, all, func(s *imageStore, _ int) ([]time.Duration, error) {
			count.n.Store(0)
			took, err := s.run(s.pull, ref)
			if asked := count.n.Load(); s == all[0] && asked != 1 {
				return nil, fmt.Errorf("naru asked the registry %d times, want once", asked)
			}
			return []time.Duration{took}, err
		})
		if err != nil {
			return row{}, err
		}
		return fastest("pull again, nothing new", all, times[0]), nil
	})
}

// deleteRow times the removal of an image until its files are gone.
func deleteRow(root, dir string, n int) (row, error) {
	return onRegistry(root, dir, func(addr string, all []*imageStore) (row, error) {
		refs, err := manyFiles.pushAll(root, addr, n)
		if err != nil {
			return row{}, err
		}
		for _, s := range all {
			for _, ref := range refs {
				if _, err := s.run(s.pull, ref); err != nil {
					return row{}, err
				}
			}
		}
		times, err := rounds(n, all, func(s *imageStore, i int) ([]time.Duration, error) {
			command, files, err := s.removed(refs[i])
			return []time.Duration{command, files}, err
		})
		if err != nil {
			return row{}, err
		}
		fmt.Fprintf(os.Stderr, "delete of 60,000 files, the command alone: naru %s\n", spreadOf(times[0][0]))
		return fastest("delete of 60,000 files, all gone", all, times[1]), nil
	})
}
