// Package terminal is the user's side of a process's streams: raw mode, size, detach keys, signals.
package terminal

import (
	"fmt"
	"os"

	"golang.org/x/term"
)

// Is tells whether f is a terminal.
func Is(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Size is f's size in characters; ok is false when it has none.
func Size(f *os.File) (rows, cols uint, ok bool) {
	w, h, err := term.GetSize(int(f.Fd()))
	if err != nil || w <= 0 || h <= 0 {
		return 0, 0, false
	}
	return uint(h), uint(w), true
}

// Columns is f's width, 80 when it has none.
func Columns(f *os.File) int {
	if _, cols, ok := Size(f); ok {
		return int(cols)
	}
	return 80
}

// Raw gives every key to the process: no echo, no line editing, no signals from keys. Where in is no terminal
// nothing happens. restore undoes it and can be called more than once.
func Raw(in, out *os.File) (restore func(), err error) {
	restoreOut := rawOutput(out)
	if !Is(in) {
		return restoreOut, nil
	}
	state, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		restoreOut()
		return nil, fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	return func() {
		_ = term.Restore(int(in.Fd()), state)
		restoreOut()
	}, nil
}
