package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/jsonstream"

	"naru/guest/engine/image"
)

// progressWriter answers a long operation with Docker's stream of JSON messages. The status 200 is sent with the
// first message: an error before it is an ordinary one.
type progressWriter struct {
	mu      sync.Mutex // guards all below
	w       http.ResponseWriter
	started bool
	ended   bool
}

func newProgressWriter(w http.ResponseWriter) *progressWriter { return &progressWriter{w: w} }

// streamMessage is jsonstream.Message with the texts that older clients read.
type streamMessage struct {
	Stream       string               `json:"stream,omitempty"`
	Status       string               `json:"status,omitempty"`
	Progress     *jsonstream.Progress `json:"progressDetail,omitempty"`
	ProgressText string               `json:"progress,omitempty"`
	ID           string               `json:"id,omitempty"`
	Error        *jsonstream.Error    `json:"errorDetail,omitempty"`
	ErrorText    string               `json:"error,omitempty"`
	Aux          any                  `json:"aux,omitempty"`
}

// send is an image.Progress.
func (p *progressWriter) send(m image.Message) {
	out := streamMessage{Stream: m.Stream, Status: m.Status, ID: m.ID}
	if layerStatus[m.Status] || strings.HasPrefix(m.Status, "Mounted from ") || strings.HasPrefix(m.Status, "Retrying in ") {
		out.Progress = &jsonstream.Progress{Current: m.Current, Total: m.Total}
	}
	if m.Current > 0 {
		out.ProgressText = progressBar(m.Current, m.Total)
	}
	p.write(out)
}

// layerStatus are the words that Docker sends a progressDetail with, be it empty.
var layerStatus = map[string]bool{
	"Pulling fs layer": true, "Downloading": true, "Verifying Checksum": true, "Download complete": true,
	"Extracting": true, "Pull complete": true, "Already exists": true,
	"Preparing": true, "Pushing": true, "Pushed": true, "Layer already exists": true,
}

// aux sends data for programs, beside what people read.
func (p *progressWriter) aux(data any) {
	p.write(streamMessage{Progress: &jsonstream.Progress{}, Aux: data})
}

// progressBar is what Docker's daemon has always sent beside the numbers.
func progressBar(current, total int64) string {
	if total <= 0 || current > total {
		return fmt.Sprintf("%8v", units.HumanSize(float64(current)))
	}
	done := int(current * 50 / total)
	arrow := ">"
	if done == 50 {
		arrow = ""
	}
	return fmt.Sprintf("[%s%s%s] %8v/%v", strings.Repeat("=", done), arrow, strings.Repeat(" ", 50-done-len(arrow)),
		units.HumanSize(float64(current)), units.HumanSize(float64(total)))
}

func (p *progressWriter) write(m streamMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.head()
	_ = json.NewEncoder(p.w).Encode(m) // the client has gone; the request's context ends the work
	if f, ok := p.w.(http.Flusher); ok {
		f.Flush()
	}
}

// start sends the status, so that an error comes as a message whenever it comes.
func (p *progressWriter) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.head()
}

// head must be called with mu held.
func (p *progressWriter) head() {
	if !p.started {
		p.started = true
		p.w.Header().Set("Content-Type", "application/json")
		p.w.WriteHeader(http.StatusOK)
	}
}

// end closes the stream: after it nothing is written any more. It returns err when there is no stream yet.
func (p *progressWriter) end(err error) error {
	p.mu.Lock()
	started := p.started
	p.mu.Unlock()
	if err != nil && !started {
		p.mu.Lock()
		p.ended = true
		p.mu.Unlock()
		return err
	}
	if err != nil {
		p.write(streamMessage{Error: &jsonstream.Error{Message: err.Error()}, ErrorText: err.Error()})
	}
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	return nil
}
