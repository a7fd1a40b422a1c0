// Package progress shows the engine's stream of progress messages: one line with a bar for each layer on a terminal,
// plain lines of what was done elsewhere.
package progress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/jsonstream"
)

// Output is where progress is shown.
type Output struct {
	W io.Writer
	// Columns is the terminal's width in characters, asked anew for each line; nil when W is no terminal.
	Columns func() int
	// Aux receives out-of-band data; it may be nil.
	Aux func(json.RawMessage)
}

// Show shows the messages of in until its end. An error in the stream is returned, not shown.
func Show(ctx context.Context, in io.Reader, out Output) error {
	d := display{out: out, rows: map[string]int{}}
	dec := json.NewDecoder(in)
	for {
		var m message
		if err := dec.Decode(&m); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("the engine's progress broke off: %w", err)
		}
		if err := m.failure(); err != nil {
			return err
		}
		if m.Aux != nil {
			if out.Aux != nil {
				out.Aux(*m.Aux)
			}
			continue
		}
		d.show(m)
	}
}

// message is jsonstream's with the older form of an error.
type message struct {
	jsonstream.Message
	OldError string `json:"error"`
}

func (m message) failure() error {
	switch {
	case m.Error != nil:
		return errors.New(m.Error.Message)
	case m.OldError != "":
		return errors.New(m.OldError)
	}
	return nil
}

// hasBar tells whether there is something to draw.
func (m message) hasBar() bool {
	return m.Progress != nil && (m.Progress.Current > 0 || m.Progress.Total > 0)
}

// display knows on which line of the terminal each layer is, counted from the first.
type display struct {
	out  Output
	rows map[string]int
	next int
}

func (d *display) show(m message) {
	switch {
	case m.Stream != "":
		fmt.Fprint(d.out.W, m.Stream)
	case d.out.Columns == nil:
		if !m.hasBar() {
			fmt.Fprintln(d.out.W, text(m))
		}
	case m.ID == "":
		// A message of no layer ends the block of lines above it.
		d.rows, d.next = map[string]int{}, 0
		fmt.Fprintln(d.out.W, text(m))
	default:
		d.redraw(m)
	}
}

func text(m message) string {
	if m.ID == "" {
		return m.Status
	}
	return m.ID + ": " + m.Status
}

// redraw writes the layer's line in its place and leaves the cursor below the last line.
func (d *display) redraw(m message) {
	row, ok := d.rows[m.ID]
	if !ok {
		row = d.next
		d.rows[m.ID] = row
		d.next++
		fmt.Fprintln(d.out.W)
	}
	up := d.next - row
	line := text(m)
	if m.hasBar() {
		line += " " + Bar(m.Progress.Current, m.Progress.Total, d.out.Columns()-len(line)-2, m.Progress.HideCounts, m.Progress.Units)
	}
	fmt.Fprintf(d.out.W, "\x1b[%dA\r\x1b[2K%s\x1b[%dB\r", up, line, up)
}

// narrow is the width from which on there is no bar but only numbers.
const narrow = 40

// barWidth is how many characters a bar has.
const barWidth = 50

// Bar draws how far something is, in at most width characters when it is not much narrower than the numbers.
func Bar(current, total int64, width int, hideCounts bool, unit string) string {
	count := func(n int64) string { return units.HumanSize(float64(n)) }
	if unit != "" {
		count = func(n int64) string { return fmt.Sprintf("%d %s", n, unit) }
	}
	if total <= 0 {
		return fmt.Sprintf("%8s", count(current))
	}
	numbers := ""
	if !hideCounts {
		numbers = fmt.Sprintf("%8s/%s", count(current), count(total))
		if current > total {
			numbers = fmt.Sprintf("%8s", count(current))
		}
	}
	if width < narrow {
		return numbers
	}
	cells := min(barWidth, width-len(numbers)-4)
	done := int(min(current, total) * int64(cells) / total)
	head := ">"
	if done >= cells {
		head, done = "", cells
	}
	return "[" + strings.Repeat("=", done) + head + strings.Repeat(" ", cells-done-len(head)) + "] " + numbers
}
