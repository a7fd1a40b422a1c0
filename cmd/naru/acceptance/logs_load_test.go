package acceptance

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is the size of TestLogsUnderLoad.
type load struct {
	containers, rate, followers, seconds int
	options                              string // of the log driver
}

// loadFromEnv reads NARU_TEST_LOGS="20 10000 5 30 [flags of run]": containers, lines a second of each, followers of each, seconds.
// What CI runs without it is a tenth of the real thing.
func loadFromEnv(t *testing.T) load {
	l := load{containers: 4, rate: 2000, followers: 3, seconds: 3, options: "--log-opt max-size=500k --log-opt max-file=100"}
	text := os.Getenv("NARU_TEST_LOGS")
	if text == "" {
		return l
	}
	if _, err := fmt.Sscan(text, &l.containers, &l.rate, &l.followers, &l.seconds); err != nil {
		t.Fatalf("NARU_TEST_LOGS=%q: %v", text, err)
	}
	l.options = strings.Join(strings.Fields(text)[4:], " ")
	return l
}

// TestLogsUnderLoad: containers that write thousands of lines a second, several followers of each log. No line is lost
// or comes twice, in any follower or in the log, and the engine answers meanwhile.
func TestLogsUnderLoad(t *testing.T) {
	l := loadFromEnv(t)
	w := inContext(t, "direct")
	img := w.image(t, "bookworm")
	w.linesProgram(t)
	socket := filepath.Join(w.home, "docker.sock")
	names := w.startLines(t, img, l)
	defer w.exec(result{script: "naru rm -f " + strings.Join(names, " ")})

	ctx, cancel := context.WithTimeout(t.Context(), caseTime+time.Duration(l.seconds)*time.Second)
	defer cancel()
	before, began := w.cpu(), time.Now()
	var all sync.WaitGroup
	var received atomic.Int64
	for _, name := range names {
		for range l.followers {
			all.Go(func() {
				n, err := followLines(ctx, socket, name, &received)
				if err != nil || n != l.rate*l.seconds {
					t.Errorf("a follower of %s got %d of %d lines: %v", name, n, l.rate*l.seconds, err)
				}
			})
		}
	}
	stop := make(chan struct{})
	pings := make(chan []time.Duration, 1)
	go func() { pings <- pingUntil(socket, stop) }()
	w.sh(t, "touch go")
	w.sh(t, "naru wait "+strings.Join(names, " "))
	written := time.Since(began)
	all.Wait()
	close(stop)
	took, after, latencies := time.Since(began), w.cpu(), <-pings
	for _, name := range names {
		if n := w.sh(t, "naru logs "+name+" 2>/dev/null | wc -l"); n != fmt.Sprint(l.rate*l.seconds) {
			t.Errorf("the log of %s has %s lines of %d", name, n, l.rate*l.seconds)
		}
	}
	p50, p99 := latencies[len(latencies)/2], latencies[len(latencies)*99/100]
	t.Logf("%d containers, %d lines/s each, %d followers each, %d s: written in %.1f s (%.0f lines/s), followed in %.1f s (%.0f lines/s)",
		l.containers, l.rate, l.followers, l.seconds, written.Seconds(), float64(l.containers*l.rate*l.seconds)/written.Seconds(),
		took.Seconds(), float64(received.Load())/took.Seconds())
	t.Logf("_ping: p50 %v, p99 %v, max %v of %d", p50, p99, latencies[len(latencies)-1], len(latencies))
	for name, spent := range after {
		t.Logf("CPU of %s: %.2f s, %.0f %% of a core", name, (spent - before[name]).Seconds(), 100*(spent-before[name]).Seconds()/took.Seconds())
	}
	if p99 > 100*time.Millisecond {
		t.Errorf("_ping: p99 is %v", p99)
	}
}

// linesProgram builds what the containers run.
func (w *world) linesProgram(t *testing.T) {
	t.Helper()
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(w.work, "lines"), "./testdata/lines")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// startLines starts the containers, which begin to write when the file go is there.
func (w *world) startLines(t *testing.T, img string, l load) (names []string) {
	t.Helper()
	w.sh(t, "rm -f go")
	for i := range l.containers {
		name := fmt.Sprintf("load%02d", i)
		names = append(names, name)
		w.sh(t, fmt.Sprintf(`naru run -d --name %s %s -v $PWD:/w %s bash -c 'until test -e /w/go; do sleep 0.01; done; exec /w/lines %s %d %d' >/dev/null`,
			name, l.options, img, name, l.rate, l.rate*l.seconds))
	}
	return names
}

// followLines follows a log to its end and checks that the lines come in order.
func followLines(ctx context.Context, socket, name string, received *atomic.Int64) (n int, err error) {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/containers/"+name+"/logs?follow=1&stdout=1", nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %s", resp.Status)
	}
	in := bufio.NewReaderSize(resp.Body, 256<<10)
	for {
		head, err := in.Peek(8)
		if err == io.EOF && len(head) == 0 {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		size := 8 + int(binary.BigEndian.Uint32(head[4:]))
		frame, err := in.Peek(size)
		if err != nil {
			return n, err
		}
		if got, err := strconv.Atoi(strings.TrimLeft(string(frame[8:15]), "0") + string(frame[15:16])); err != nil || got != n {
			return n, fmt.Errorf("line %d is %q", n, frame[8:])
		}
		if _, err := in.Discard(size); err != nil {
			return n, err
		}
		n++
		received.Add(1)
	}
}

// pingUntil asks for /_ping every 10 ms, each time on a new connection as the CLI does, and returns the times, sorted.
func pingUntil(socket string, stop <-chan struct{}) (took []time.Duration) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		began := time.Now()
		resp, err := client.Get("http://engine/_ping")
		if err == nil {
			_ = resp.Body.Close()
			took = append(took, time.Since(began))
		}
		select {
		case <-stop:
			slices.Sort(took)
			return took
		case <-tick.C:
		}
	}
}

// cpu is the time that keeper and engine of this installation, and this test, have used so far.
func (w *world) cpu() map[string]time.Duration {
	spent := map[string]time.Duration{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		args := strings.Split(string(line), "\x00")
		name := filepath.Base(args[0])
		ours := strings.HasPrefix(name, "naru-") && slices.Contains(args, filepath.Join(w.home, "engine"))
		if dir == fmt.Sprintf("/proc/%d", os.Getpid()) {
			name, ours = "the test, which is the followers", true
		}
		if !ours {
			continue
		}
		threads, _ := filepath.Glob(filepath.Join(dir, "task/*/schedstat"))
		for _, thread := range threads { // exact, where the ticks of stat are in step with timers
			text, _ := os.ReadFile(thread)
			var ns int64
			if _, err := fmt.Sscan(string(text), &ns); err == nil {
				spent[name] += time.Duration(ns)
			}
		}
	}
	return spent
}
