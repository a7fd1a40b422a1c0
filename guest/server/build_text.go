package server

import (
	"context"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"
	buildtypes "github.com/moby/moby/api/types/build"
)

// textProgress is the progress of a build as lines of text, for clients from before BuildKit. They, and scripts, look for
// the last two lines.
type textProgress struct {
	out   *progressWriter
	quiet bool // only the image's ID, at the end
	steps chan *client.SolveStatus
	drawn chan struct{} // closed when all is written
}

func newTextProgress(out *progressWriter, quiet bool) *textProgress {
	p := &textProgress{out: out, quiet: quiet, steps: make(chan *client.SolveStatus), drawn: make(chan struct{})}
	go p.draw()
	return p
}

// draw is the progress's goroutine. It takes every step, whatever happens: the build must not wait for it.
func (p *textProgress) draw() {
	defer close(p.drawn)
	if !p.quiet {
		if display, err := progressui.NewDisplay(textWriter{p.out}, progressui.PlainMode); err == nil {
			_, _ = display.UpdateFrom(context.Background(), p.steps) // ends with the channel
		}
	}
	for range p.steps {
	}
}

func (p *textProgress) status(s *controlapi.StatusResponse) error {
	p.steps <- client.NewSolveStatus(s)
	return nil
}

func (p *textProgress) end(imageID string, tags []string, err error) {
	close(p.steps)
	<-p.drawn
	if err != nil || imageID == "" {
		return
	}
	if p.quiet {
		p.out.write(streamMessage{Stream: imageID + "\n"})
		return
	}
	p.out.write(streamMessage{Aux: buildtypes.Result{ID: imageID}})
	short := strings.TrimPrefix(imageID, "sha256:")
	p.out.write(streamMessage{Stream: "Successfully built " + short[:min(12, len(short))] + "\n"})
	for _, tag := range tags {
		if !strings.Contains(tag[strings.LastIndex(tag, "/")+1:], ":") {
			tag += ":latest"
		}
		p.out.write(streamMessage{Stream: "Successfully tagged " + tag + "\n"})
	}
}

// textWriter sends text as Docker's stream messages.
type textWriter struct{ out *progressWriter }

func (t textWriter) Write(b []byte) (int, error) {
	t.out.write(streamMessage{Stream: string(b)})
	return len(b), nil
}
