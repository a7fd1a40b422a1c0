package terminal

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

// rawOutput lets the console take escape sequences, which the process in the container writes.
func rawOutput(out *os.File) func() {
	h := windows.Handle(out.Fd())
	var mode uint32
	if windows.GetConsoleMode(h, &mode) != nil {
		return func() {}
	}
	_ = windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING|windows.DISABLE_NEWLINE_AUTO_RETURN)
	return func() { _ = windows.SetConsoleMode(h, mode) }
}

// resizePoll is how often the console is asked for its size: Windows sends no signal.
const resizePoll = 250 * time.Millisecond

// OnResize calls f whenever the terminal's size changes, until ctx is done.
func OnResize(ctx context.Context, out *os.File, f func()) {
	tick := time.NewTicker(resizePoll)
	defer tick.Stop()
	rows, cols, _ := Size(out)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if r, c, ok := Size(out); ok && (r != rows || c != cols) {
				rows, cols = r, c
				f()
			}
		}
	}
}

// CatchAll sends every signal that a container could want to ch. The caller ends it with signal.Stop.
func CatchAll(ch chan<- os.Signal) { signal.Notify(ch, os.Interrupt, syscall.SIGTERM) }

// SignalName is the name that the engine knows: "SIGTERM".
func SignalName(s os.Signal) string {
	switch s {
	case os.Interrupt:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	}
	return ""
}
