// Command bench times naru beside Docker on this machine: the same commands by turns in one run, a warm-up dropped,
// medians and the median of the pairs' ratios. It is what `make bench` runs. It needs root, the built binaries, the
// VM image, and Debian's dockerd (`scripts/peers`).
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// gates are the most that rows may take beside their peer, by name, or by how the name begins where that ends with a space.
var gates = []struct {
	name string
	most float64
}{
	{containerCases[0].name, 0.25},
	{manyName, 0.25},
	{"container to container, ", 1 / 0.95}, {"published port, ", 1 / 0.95},
	{"pull ", 0.8}, {"delete ", 0.8},
	{coldBuild, 1}, {cachedBuild, 0.5},
}

func main() {
	runs := flag.Int("n", 15, "counted runs of each command")
	out := flag.String("o", "out/bench.json", "where the figures go")
	vm := flag.Bool("vm", true, "also time the VM's boot beside a floor VM")
	only := flag.String("only", "", "run the rows whose name matches this regular expression")
	flag.Parse()
	pick, err := regexp.Compile(*only)
	if err == nil {
		err = bench(*runs, *out, *vm, pick)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func bench(runs int, out string, vm bool, only *regexp.Regexp) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "narubench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	docker, err := startDocker(root, filepath.Join(dir, "docker"))
	if err != nil {
		return fmt.Errorf("docker: %w", err)
	}
	defer docker.stop()
	naru, err := startNaru(root, filepath.Join(dir, "naru"))
	if err != nil {
		return fmt.Errorf("naru: %w", err)
	}
	defer naru.stop()
	report := report{
		Time: time.Now().UTC(), CPUs: runtime.NumCPU(), Runs: runs, Kernel: text(exec.Command("uname", "-r")), Load: load(),
		Versions: map[string]string{"docker": docker.version(), "naru": naru.version()},
	}
	for _, c := range containerCases {
		if !only.MatchString(c.name) {
			continue
		}
		row, err := pair(c, runs, naru, docker)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		report.add(row)
	}
	for _, c := range slices.Concat(engineCases(root, dir), networkCases(root, dir), imageCases(root, dir), buildCases(root, dir)) {
		if !only.MatchString(c.name) {
			continue
		}
		row, err := c.run(max(3, runs/3))
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		report.add(row)
	}
	if vm && only.MatchString("VM boot") {
		row, err := bootRow(root, dir, max(3, runs/5))
		if err != nil {
			return fmt.Errorf("VM boot: %w", err)
		}
		report.add(row)
	}
	if err := report.write(filepath.Join(root, out)); err != nil {
		return err
	}
	return report.judge()
}

// judge holds the figures against the gates.
func (r *report) judge() error {
	var errs []error
	for _, row := range r.Rows {
		for _, g := range gates {
			is := row.Name == g.name || strings.HasSuffix(g.name, " ") && strings.HasPrefix(row.Name, g.name)
			if is && row.Ratio > g.most {
				errs = append(errs, fmt.Errorf("%s takes %.2f× of %s, the gate is %.2f×", row.Name, row.Ratio, row.Peer, g.most))
			}
		}
		if row.Name == memoryName && row.Naru.Median > memoryGate {
			errs = append(errs, fmt.Errorf("%s: %.0f, the gate is %d", row.Name, row.Naru.Median, memoryGate))
		}
	}
	return errors.Join(errs...)
}

// report is what is written as JSON.
type report struct {
	Time     time.Time         `json:"time"`
	Kernel   string            `json:"kernel"`
	CPUs     int               `json:"cpus"`
	Load     string            `json:"load"` // /proc/loadavg at the start
	Runs     int               `json:"runs"`
	Versions map[string]string `json:"versions"`
	Rows     []row             `json:"rows"`
}

// row is one figure: both contenders' times in milliseconds, and the median of the ratios of pairs.
type row struct {
	Name  string  `json:"name"`
	Peer  string  `json:"peer"`
	Naru  spread  `json:"naru"`
	Other spread  `json:"other"`
	Ratio float64 `json:"ratio"`
}

func (r *report) add(row row) {
	if len(r.Rows) == 0 {
		fmt.Printf("%-34s %26s %26s %8s\n", "milliseconds: median (min–max)", "naru", "peer", "ratio")
	}
	r.Rows = append(r.Rows, row)
	fmt.Printf("%-34s %26s %26s %7.2f×  %s\n", row.Name, row.Naru, row.Other, row.Ratio, row.Peer)
}

func (r *report) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func text(cmd *exec.Cmd) string {
	out, err := cmd.Output()
	if err != nil {
		return "unknown: " + err.Error()
	}
	return strings.TrimSpace(string(out))
}

func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(data))
}
