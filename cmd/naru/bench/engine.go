package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// engineCase compares whole engines that are started for it.
type engineCase struct {
	name string
	run  func(n int) (row, error)
}

func engineCases(root, dir string) []engineCase {
	return []engineCase{
		{name: "engine start", run: func(n int) (row, error) { return startRow(root, dir, n) }},
		{name: manyName, run: func(n int) (row, error) { return manyRow(root, dir, min(n, 3)) }},
	}
}

// startRow times an engine from its start to its first answer.
func startRow(root, dir string, n int) (row, error) {
	count := 0
	return byTurns("engine start to first answer", "docker", n,
		func() (time.Duration, error) {
			count++
			c := &contender{cli: []string{filepath.Join(root, "bin/naru")}, env: []string{"NARU_CONTEXT=direct", "NARU_HOME=" + filepath.Join(dir, "s", strconv.Itoa(count))}, stopCmd: []string{"engine", "stop"}}
			defer c.stop()
			return timed(c.command("engine", "start"))
		},
		func() (time.Duration, error) {
			at := filepath.Join(dir, "sd", strconv.Itoa(count))
			if err := os.MkdirAll(at, 0o755); err != nil {
				return 0, err
			}
			c := &contender{daemon: dockerDaemon(root, at)}
			start := time.Now()
			if err := c.daemon.Start(); err != nil {
				return 0, err
			}
			defer c.stop()
			err := firstAnswer(at + "/docker.sock")
			return time.Since(start), err
		})
}

// many is how many containers manyRow starts.
const (
	many     = 100
	manyName = "100 containers up"
)

// manyRow times the start of many containers on the bridge, one command after the other.
func manyRow(root, dir string, n int) (row, error) {
	docker, err := startDocker(root, filepath.Join(dir, "md"))
	if err != nil {
		return row{}, err
	}
	defer docker.stop()
	naru, err := startNaru(root, filepath.Join(dir, "mn"))
	if err != nil {
		return row{}, err
	}
	defer naru.stop()
	up := func(c *contender) func() (time.Duration, error) {
		return func() (time.Duration, error) {
			start := time.Now()
			for i := range many {
				if _, err := timed(c.command("run", "-d", "--name", fmt.Sprint("m", i), image, "sleep", "10000")); err != nil {
					return 0, err
				}
			}
			took := time.Since(start)
			args := []string{"rm", "-f"}
			for i := range many {
				args = append(args, fmt.Sprint("m", i))
			}
			_, err := timed(c.command(args...))
			return took, err
		}
	}
	return byTurns(manyName, "docker", n, up(naru), up(docker))
}

// bootRow times the VM from `naru machine start` to ready against a floor VM.
func bootRow(root, dir string, n int) (row, error) {
	floor, err := newFloorVM(root, dir)
	if err != nil {
		return row{}, err
	}
	c := &contender{cli: []string{filepath.Join(root, "bin/naru")}, env: []string{"NARU_CONTEXT=machine", "NARU_HOME=" + filepath.Join(dir, "vm")}, stopCmd: []string{"machine", "stop"}}
	defer c.stop()
	return byTurns("VM boot to ready", "floor VM", n, func() (time.Duration, error) {
		d, err := timed(c.command("machine", "start"))
		c.stop()
		return d, err
	}, floor.boot)
}
