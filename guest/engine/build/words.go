package build

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/executor"
	resourcetypes "github.com/moby/buildkit/executor/resources/types"
)

// plainWords lets the runtime's own errors reach the client as text. BuildKit has the runtime log JSON, which stands in the
// step's output then, beside an error that only has an exit code.
type plainWords struct{ executor.Executor }

func (p plainWords) Run(ctx context.Context, id string, rootfs executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, started chan<- struct{}) (
	resourcetypes.Recorder, error) {
	if process.Stderr == nil {
		return p.Executor.Run(ctx, id, rootfs, mounts, process, started)
	}
	words := &runtimeWords{WriteCloser: process.Stderr}
	process.Stderr = words
	rec, err := p.Executor.Run(ctx, id, rootfs, mounts, process, started)
	return rec, words.end(err)
}

// runtimeWords is the error stream of a step. What looks like an error of the runtime is held back until it is clear whether it is
// one: then it is all that the step has said, which has failed.
type runtimeWords struct {
	io.WriteCloser

	mu   sync.Mutex // guards held and said
	held []byte
	said bool
}

var runtimeError = regexp.MustCompile(`^\{"msg":".*","level":"error","time":"[^"]*"\}\n$`)

func (w *runtimeWords) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.said && w.held == nil && runtimeError.Match(b) {
		w.held = append(w.held, b...)
		return len(b), nil
	}
	if err := w.release(); err != nil {
		return 0, err
	}
	w.said = true
	return w.WriteCloser.Write(b)
}

// release writes what was held back. Callers hold mu.
func (w *runtimeWords) release() error {
	held := w.held
	w.held = nil
	if held == nil {
		return nil
	}
	_, err := w.WriteCloser.Write(held)
	return err
}

// end is told how the step has ended, and says it more clearly where it can.
func (w *runtimeWords) end(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var line struct{ Msg string }
	if err == nil || w.held == nil || json.Unmarshal(w.held, &line) != nil {
		_ = w.release() // a client that has gone is no error of the step
		return err
	}
	w.held = []byte(line.Msg + "\n")
	_ = w.release() // likewise
	if strings.HasSuffix(line.Msg, "Exec format error") {
		return fmt.Errorf("not a program for %s, and nothing here emulates another platform: %w", platforms.Format(platforms.Normalize(platforms.DefaultSpec())), err)
	}
	return err
}
