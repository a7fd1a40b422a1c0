package progress

import (
	"fmt"
	"io"
	"sync"
)

// Steps shows one thing that goes through steps, as the first start of the machine does: a single line on a
// terminal, which is gone at the end, and a line for each step elsewhere. It is safe for concurrent use.
type Steps struct {
	title    string
	w        io.Writer
	terminal bool

	mu    sync.Mutex
	drawn bool // guarded by mu
}

// NewSteps shows the steps of what title says: "starting the machine".
func NewSteps(w io.Writer, terminal bool, title string) *Steps {
	return &Steps{title: title, w: w, terminal: terminal}
}

// Step shows that a step begins.
func (s *Steps) Step(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn = true
	if s.terminal {
		fmt.Fprintf(s.w, "\r\x1b[2K%s: %s", s.title, step)
		return
	}
	fmt.Fprintf(s.w, "%s: %s\n", s.title, step)
}

// Done removes the line from the terminal. More steps can follow.
func (s *Steps) Done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drawn && s.terminal {
		fmt.Fprint(s.w, "\r\x1b[2K")
	}
	s.drawn = false
}
