package facts

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// Program is what a program that we run tells about itself.
type Program struct {
	Version  string
	Commit   string // of its source; "" where it does not say
	Features string // JSON document of an OCI runtime's features, "" for other programs
}

// programTime bounds how long a program may take to tell its version.
const programTime = 10 * time.Second

// Programs asks programs for their versions, each of them once. The zero value is ready. Safe for concurrent use.
type Programs struct {
	mu    sync.Mutex // guards known
	known map[string]Program
}

// Runtime is about an OCI runtime, https://github.com/opencontainers/runtime-spec/blob/main/features.md.
func (p *Programs) Runtime(ctx context.Context, path string) Program {
	return p.ask(ctx, path, func(ctx context.Context) Program {
		out := parseRuntime(output(ctx, path, "--version"))
		var features bytes.Buffer
		if json.Compact(&features, []byte(output(ctx, path, "features"))) == nil {
			out.Features = features.String()
		}
		return out
	})
}

// Init is about the program of `run --init`.
func (p *Programs) Init(ctx context.Context, path string) Program {
	return p.ask(ctx, path, func(ctx context.Context) Program { return parseInit(output(ctx, path, "--version")) })
}

func (p *Programs) ask(ctx context.Context, path string, ask func(context.Context) Program) Program {
	if path == "" {
		return Program{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.known[path]; ok {
		return known
	}
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	told := ask(ctx)
	if ctx.Err() != nil {
		return told // ask again
	}
	if p.known == nil {
		p.known = map[string]Program{}
	}
	p.known[path] = told
	return told
}

func output(ctx context.Context, path string, args ...string) string {
	out, err := exec.CommandContext(ctx, path, args...).Output()
	if err != nil {
		return ""
	}
	return string(out)
}

// parseRuntime reads "crun version 1.21\ncommit: 1026…\n…", and the same of runc.
func parseRuntime(text string) (p Program) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if _, version, ok := strings.Cut(line, " version "); ok && p.Version == "" {
			p.Version = version
		}
		if commit, ok := strings.CutPrefix(line, "commit: "); ok {
			p.Commit = commit
		}
	}
	return p
}

// parseInit reads "tini version 0.19.0 - git.de40ad0"; the second half may be missing.
func parseInit(text string) (p Program) {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), " - ")
	_, p.Version, _ = strings.Cut(first, " version ")
	p.Commit = strings.TrimPrefix(rest, "git.")
	return p
}

// Library is the version of a Go module that this program is built from, "" when it is not.
func Library(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return ""
}
