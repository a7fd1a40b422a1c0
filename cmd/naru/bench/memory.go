package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// memoryGate is the most that naru's processes may hold in a pull of 20 images at once, in MB.
const memoryGate = 120

const memoryName = "20 pulls at once, peak memory, MB"

// memoryRow holds the memory of naru's processes, engine, keeper and those that unpack, and the newest dockerd's and its
// containerd's beside each other while 20 images are pulled at once. The figures are in MB: the peak of the sums of the PSS.
func memoryRow(root, dir string, n int) (row, error) {
	return onRegistry(root, dir, func(addr string, all []*imageStore) (row, error) {
		const images = 20
		var refs []string
		for i := range images {
			ref, err := imageKind{"", 2, 4, 2_000_000}.push(root, addr, fmt.Sprint("bench/m", i, ":1"), uint64(i))
			if err != nil {
				return row{}, err
			}
			refs = append(refs, ref)
		}
		var peaks [2][]float64
		for i := range n + 1 {
			for j, s := range all[:2] {
				peak, err := peakOf(s, refs)
				if err != nil {
					return row{}, err
				}
				if i > 0 {
					peaks[j] = append(peaks[j], peak)
				}
			}
		}
		return rowOf(memoryName, all[1].name, peaks[0], peaks[1]), nil
	})
}

// peakOf pulls all at once, looks at the memory every few milliseconds, and removes all.
func peakOf(s *imageStore, refs []string) (float64, error) {
	var wg sync.WaitGroup
	errs := make(chan error, len(refs))
	for _, ref := range refs {
		wg.Go(func() {
			if _, err := s.run(s.pull, ref); err != nil {
				errs <- err
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	peak := 0.0
	for end := false; !end; {
		select {
		case <-done:
			end = true
		case <-time.After(5 * time.Millisecond):
		}
		peak = max(peak, s.memory())
	}
	select {
	case err := <-errs:
		return 0, err
	default:
	}
	for _, ref := range refs {
		if _, err := s.run(s.remove, ref); err != nil {
			return 0, err
		}
	}
	return peak, nil
}

// memory is what the engine's processes hold, in MB: those with its folder among their words, and their children. The command
// lines are not among them.
func (s *imageStore) memory() float64 {
	found, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	ours, parents := map[string]bool{}, map[string]string{}
	mark := strings.TrimSuffix(s.layers, "/engine/snapshots/snapshots")
	mark = strings.TrimSuffix(mark, "/data/overlay2")
	for _, path := range found {
		pid := filepath.Base(filepath.Dir(path))
		words, _ := os.ReadFile(path)
		program, _, _ := bytes.Cut(words, []byte{0})
		base := filepath.Base(string(program))
		if bytes.Contains(words, []byte(mark)) && base != "naru" && base != "docker" {
			ours[pid] = true
		}
		stat, _ := os.ReadFile("/proc/" + pid + "/stat")
		if _, rest, ok := strings.Cut(string(stat), ") "); ok {
			if f := strings.Fields(rest); len(f) > 1 {
				parents[pid] = f[1]
			}
		}
	}
	sum := 0.0
	for pid := range parents {
		for at := pid; at != "" && at != "1"; at = parents[at] {
			if ours[at] {
				sum += pss(pid)
				break
			}
		}
	}
	return sum
}

func pss(pid string) float64 {
	data, _ := os.ReadFile("/proc/" + pid + "/smaps_rollup")
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) > 1 && f[0] == "Pss:" {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb / 1000 * 1.024
		}
	}
	return 0
}
