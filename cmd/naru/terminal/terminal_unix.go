//go:build !windows

package terminal

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// rawOutput has nothing to do: a terminal has one mode for both directions.
func rawOutput(*os.File) func() { return func() {} }

// OnResize calls f whenever the terminal's size changes, until ctx is done.
func OnResize(ctx context.Context, _ *os.File, f func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGWINCH)
	defer signal.Stop(ch)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ch:
			f()
		}
	}
}

// notForwarded are about this process alone: its children, its pipes, its terminal, and SIGURG, which Go's runtime
// sends to itself.
var notForwarded = map[os.Signal]bool{
	syscall.SIGCHLD: true, syscall.SIGPIPE: true, syscall.SIGURG: true, syscall.SIGWINCH: true,
	syscall.SIGTSTP: true, syscall.SIGTTIN: true, syscall.SIGTTOU: true, syscall.SIGCONT: true,
}

// CatchAll sends every signal that a container could want to ch. The caller ends it with signal.Stop.
func CatchAll(ch chan<- os.Signal) {
	var all []os.Signal
	for n := syscall.Signal(1); n < 32; n++ {
		if n != syscall.SIGKILL && n != syscall.SIGSTOP && !notForwarded[n] && !(n == syscall.SIGHUP && signal.Ignored(n)) {
			all = append(all, n)
		}
	}
	signal.Notify(ch, all...)
}

// SignalName is the name that the engine knows: "TERM".
func SignalName(s os.Signal) string {
	n, ok := s.(syscall.Signal)
	if !ok {
		return ""
	}
	return unix.SignalName(n)
}
