package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"naru/host/client"
)

func (a *app) logsCommand() *cobra.Command {
	var o client.LogsOptions
	cmd := &cobra.Command{
		Use: "logs [OPTIONS] CONTAINER", Short: "Fetch the logs of a container", Args: exactly(1),
		ValidArgsFunction: a.completeContainers(1, anyState),
		Example:           "  naru logs -f --tail 100 web\n  naru logs --since 10m -t web",
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Follow, "follow", "f", false, "Follow log output")
	f.BoolVarP(&o.Timestamps, "timestamps", "t", false, "Show timestamps")
	f.BoolVar(&o.Details, "details", false, "Show extra details provided to logs")
	f.StringVar(&o.Since, "since", "", `Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)`)
	f.StringVar(&o.Until, "until", "", `Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)`)
	f.StringVarP(&o.Tail, "tail", "n", "all", "Number of lines to show from the end of the logs")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) (err error) {
		if o.Since, err = apiTime("since", o.Since); err != nil {
			return err
		}
		if o.Until, err = apiTime("until", o.Until); err != nil {
			return err
		}
		return a.logs(cmd.Context(), c, args[0], o)
	})
	return cmd
}

func (a *app) logs(ctx context.Context, c *client.Client, name string, o client.LogsOptions) error {
	info, err := c.ContainerInspect(ctx, name)
	if err != nil {
		return err
	}
	s := &logSession{app: a, client: c, id: info.ID, o: o, tty: info.Config.Tty}
	s.out.w, s.err.w = a.out, a.err
	for {
		err := s.copy(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// The engine died under us, and the keeper starts it again.
		if !errors.Is(err, io.ErrUnexpectedEOF) || !s.resumes() {
			return err
		}
	}
}

// logSession shows a log, and goes on where it was when the engine is another one.
type logSession struct {
	app      *app
	client   *client.Client
	id       string
	o        client.LogsOptions
	tty      bool
	out, err counted  // with a terminal: how much was shown
	place    logPlace // else: which entry was shown last
}

// stamps tells whether entries are asked for with their times, to know them again. A terminal's log is a stream of
// bytes, in which entries cannot be told apart.
func (s *logSession) stamps() bool { return s.o.Follow && !s.tty }

// resumes tells whether a log that broke off can be gone on with: after the last entry, or behind as many bytes of the
// whole.
func (s *logSession) resumes() bool { return s.o.Follow && (!s.tty || s.o.Tail == "all") }

// copy copies the log behind what was shown of it already.
func (s *logSession) copy(ctx context.Context) error {
	o := s.o
	if s.stamps() {
		o.Timestamps = true
		if s.place.last != "" {
			o.Since, o.Tail = s.place.since(), "all"
		}
		s.place.resume()
	}
	in, err := s.client.ContainerLogs(ctx, s.id, o)
	if err != nil {
		return err
	}
	defer in.Close()
	if !s.stamps() {
		return copyOutput(&behind{to: &s.out, skip: s.out.n}, &behind{to: &s.err, skip: s.err.n}, in, s.tty)
	}
	return copyOutput(&stamped{&s.place, &s.out, s.o.Timestamps}, &stamped{&s.place, &s.err, s.o.Timestamps}, in, false)
}

// logPlace is the last entry that was shown, by its time.
type logPlace struct {
	last    string // RFC 3339 with all nine digits
	same    int    // how many entries of that time were shown
	skipped int    // of those, after a resume
}

// resume makes pass leave out what was shown.
func (p *logPlace) resume() { p.skipped = 0 }

// since is the time in the API's form.
func (p *logPlace) since() string {
	t, err := time.Parse(time.RFC3339Nano, p.last)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
}

// pass tells whether an entry is a new one.
func (p *logPlace) pass(when string) bool {
	if when != p.last {
		p.last, p.same, p.skipped = when, 1, 1
		return true
	}
	if p.skipped < p.same {
		p.skipped++
		return false
	}
	p.same, p.skipped = p.same+1, p.skipped+1
	return true
}

// stamped writes entries, each with its time in front, that are new. Each Write is one.
type stamped struct {
	place *logPlace
	to    io.Writer
	show  bool // the time
}

func (s *stamped) Write(p []byte) (int, error) {
	when, line, ok := bytes.Cut(p, []byte{' '})
	if !ok || s.show {
		line = p
	}
	if ok && !s.place.pass(string(when)) {
		return len(p), nil
	}
	if _, err := s.to.Write(line); err != nil {
		return 0, err
	}
	return len(p), nil
}
