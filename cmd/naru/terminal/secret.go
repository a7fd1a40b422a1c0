package terminal

import (
	"context"
	"os"

	"golang.org/x/term"
)

// Secret reads a line without showing it. When ctx ends first, the terminal shows again what is typed.
func Secret(ctx context.Context, in *os.File) (string, error) {
	fd := int(in.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	type result struct {
		line []byte
		err  error
	}
	read := make(chan result, 1)
	go func() { // lives until a line comes, or as long as the process
		line, err := term.ReadPassword(fd)
		read <- result{line, err}
	}()
	select {
	case r := <-read:
		return string(r.line), r.err
	case <-ctx.Done():
		_ = term.Restore(fd, state)
		return "", context.Cause(ctx)
	}
}
