package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/moby/moby/api/types/container"

	"naru/host/client"
)

// maxResumes is how many deaths of the engine one session follows.
const maxResumes = 10

// resume goes on after the engine died under the session: its containers live on, and so does naru-keeper, which
// starts it again. The rest of the output is taken from the log, which is whole, behind what was shown already. It
// returns the container's exit code.
func (s *session) resume(ctx context.Context) (code int, err error) {
	if s.attach.Stdin {
		fmt.Fprintf(s.app.err, "naru: warning: the engine was restarted; the container's stdin is no longer attached: naru attach %.12s\n", s.id)
	}
	condition := container.WaitConditionNotRunning
	if s.wait == container.WaitConditionRemoved {
		condition = s.wait
	}
	for range maxResumes {
		var waiting *client.Waiting
		if waiting, err = s.client.ContainerWait(ctx, s.id, condition); err != nil {
			return 0, fmt.Errorf("wait for container %.12s: %w", s.id, err)
		}
		if lerr := s.restOfLog(ctx); lerr != nil {
			fmt.Fprintf(s.app.err, "naru: warning: the engine was restarted; some output may be missing: %v\n", lerr)
		}
		code, err = waiting.Result()
		if err == nil || ctx.Err() != nil {
			return code, err
		}
	}
	return code, err
}

// restOfLog follows the log to the container's end, behind what was shown of each stream.
func (s *session) restOfLog(ctx context.Context) error {
	if !s.fresh {
		return fmt.Errorf("see naru logs %.12s", s.id)
	}
	in, err := s.client.ContainerLogs(ctx, s.id, client.LogsOptions{Follow: true})
	if err != nil {
		return err
	}
	defer in.Close()
	// When it breaks off here, the wait does too, and all begins again behind what was shown by then.
	_ = copyOutput(&behind{to: &s.out, skip: s.out.n}, &behind{to: &s.err, skip: s.err.n}, in, s.tty)
	return nil
}

// counted counts what it writes.
type counted struct {
	w io.Writer
	n int64 // bytes
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// behind drops the first skip bytes.
type behind struct {
	to   io.Writer
	skip int64
}

func (b *behind) Write(p []byte) (int, error) {
	drop := min(b.skip, int64(len(p)))
	b.skip -= drop
	if int(drop) == len(p) {
		return len(p), nil
	}
	n, err := b.to.Write(p[drop:])
	return n + int(drop), err
}
