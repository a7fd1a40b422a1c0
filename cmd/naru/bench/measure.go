package main

import (
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// spread is the distribution of one contender's times, in milliseconds.
type spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

func (s spread) String() string { return fmt.Sprintf("%.1f (%.1f–%.1f)", s.Median, s.Min, s.Max) }

func spreadOf(ms []float64) spread {
	sorted := slices.Sorted(slices.Values(ms))
	return spread{Min: sorted[0], Median: median(sorted), Max: sorted[len(sorted)-1]}
}

func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// rowOf makes a row of the times a (naru) and b (the peer), taken by turns.
func rowOf(name, peer string, a, b []float64) row {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	slices.Sort(ratios)
	return row{Name: name, Peer: peer, Naru: spreadOf(a), Other: spreadOf(b), Ratio: median(ratios)}
}

// byTurns times a and b n times each, after one uncounted run of both.
func byTurns(name, peer string, n int, a, b func() (time.Duration, error)) (row, error) {
	var times [2][]float64
	for i := range n + 1 {
		for j, f := range []func() (time.Duration, error){a, b} {
			d, err := f()
			if err != nil {
				return row{}, err
			}
			if i > 0 {
				times[j] = append(times[j], float64(d.Microseconds())/1000)
			}
		}
	}
	return rowOf(name, peer, times[0], times[1]), nil
}

// timed runs cmd and returns how long it took.
func timed(cmd *exec.Cmd) (time.Duration, error) {
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%v: %w: %s", cmd.Args, err, out)
	}
	return time.Since(start), nil
}

// containerCase is a command that both command lines understand. Before, when set, makes what it needs, and after
// removes it: neither is timed.
type containerCase struct {
	name          string
	before, after []string
	args          []string
	repeat        int // how many containers args stands for
}

const image = "bench"

var containerCases = []containerCase{
	{name: "run --rm, bridge", args: []string{"run", "--rm", image, "true"}},
	{name: "run --rm, no network", args: []string{"run", "--rm", "--network", "none", image, "true"}},
	{name: "exec", before: []string{"run", "-d", "--name", "bx", image, "sleep", "10000"}, args: []string{"exec", "bx", "true"}, after: []string{"rm", "-f", "bx"}},
}

func pair(c containerCase, runs int, a, b *contender) (row, error) {
	for _, who := range []*contender{a, b} {
		if c.before != nil {
			if _, err := timed(who.command(c.before...)); err != nil {
				return row{}, err
			}
		}
	}
	r, err := byTurns(c.name, "docker", runs,
		func() (time.Duration, error) { return timed(a.command(c.args...)) },
		func() (time.Duration, error) { return timed(b.command(c.args...)) })
	if err != nil {
		return r, err
	}
	for _, who := range []*contender{a, b} {
		if c.after != nil {
			if _, err := timed(who.command(c.after...)); err != nil {
				return row{}, err
			}
		}
	}
	return r, nil
}
