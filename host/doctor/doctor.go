// Package doctor tells in plain words what this host can do for naru, what is wrong, and the command that mends it. It
// looks only: it starts no engine and no machine, and changes nothing.
package doctor

import (
	"context"
	"fmt"
	"runtime"

	"naru/platform/paths"
)

// Status is how a finding is meant.
type Status string

const (
	OK      Status = "ok"      // as it should be
	Note    Status = "note"    // good to know; nothing fails for it
	Problem Status = "problem" // something will fail
)

// Finding is one thing that was looked at.
type Finding struct {
	Area   string `json:"area"` // what it belongs to: "naru", "linux", "machine", "network"
	Check  string `json:"check"`
	Status Status `json:"status"`
	Text   string `json:"text"`
	Fix    string `json:"fix,omitempty"` // a command or a step
}

// Report is all that was found.
type Report struct {
	OS       string    `json:"os"`
	Arch     string    `json:"arch"`
	Version  string    `json:"version"`
	Context  string    `json:"context"` // where commands without --context go to
	Findings []Finding `json:"findings"`
}

// Problems counts what will fail.
func (r *Report) Problems() (n int) {
	for _, f := range r.Findings {
		if f.Status == Problem {
			n++
		}
	}
	return n
}

// Options say whom to examine.
type Options struct {
	Home    paths.Home
	Version string
	Context string // the current context
}

// Examine looks at everything. Contexts differ in what they need: what only another one lacks is a note.
func Examine(ctx context.Context, o Options) *Report {
	r := &Report{OS: runtime.GOOS, Arch: runtime.GOARCH, Version: o.Version, Context: o.Context}
	r.installation(o)
	r.system(o)
	r.machine(ctx, o)
	r.network(o)
	return r
}

func (r *Report) add(area, check string, status Status, fix, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Area: area, Check: check, Status: status, Text: fmt.Sprintf(format, args...), Fix: fix})
}

// lacking is what a missing thing means: a problem in the context that needs it.
func (r *Report) lacking(context string) Status {
	if r.Context == context {
		return Problem
	}
	return Note
}
