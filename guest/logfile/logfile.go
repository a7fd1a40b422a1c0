// Package logfile writes and reads a container's log in Docker's json-file format: one JSON object a line,
//
//	{"log":"text\n","stream":"stdout","time":"2026-01-02T15:04:05.123456789Z"}
//
// so that whatever reads Docker's logs reads ours. naru-keeper holds the one Writer of a log; the engine reads it
// with Read, also while it grows.
package logfile

import (
	"fmt"
	"time"
)

// Stream is where a line came from.
type Stream uint8

// The two streams of a process. A process on a terminal has only Stdout.
const (
	Stdout Stream = iota
	Stderr
)

// String is the name that the file uses: "stdout" or "stderr".
func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// MaxLine is the most bytes of one entry. A longer line becomes several entries of which only the last ends with a
// newline, as in Docker.
const MaxLine = 16 << 10

// TimeFormat is how timestamps are printed before a line: RFC 3339 with all nine digits, as Docker does.
const TimeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// All is the Options.Tail that means the whole log.
const All = -1

// Entry is one line of the log, or a piece of one that was longer than MaxLine.
type Entry struct {
	Stream Stream
	Time   time.Time // UTC
	// Line ends with its newline, except for a piece and for a last line that had none. It is valid only until the
	// callback returns.
	Line []byte
}

// Options choose what Read delivers.
type Options struct {
	Stdout, Stderr bool // which streams; with neither, nothing is delivered
	// Tail is the number of last entries to begin with; 0 for none, negative (All) for the whole log. As in Docker
	// it counts entries before any other choice is applied.
	Tail  int
	Since time.Time // only entries at or after it; zero for no bound
	Until time.Time // only entries before or at it; zero for no bound. A following Read returns at that time
	// Timestamps puts the entry's time and a space in front of Line.
	Timestamps bool
	// Follow waits for more at the end of the log until the context ends or Done is closed. A log that does not
	// exist yet is waited for.
	Follow bool
	// Done is closed when nothing more will be written: Read then delivers the rest and returns nil. Nil for never.
	Done <-chan struct{}
}

func parseStream(s string) (Stream, error) {
	switch s {
	case "stdout":
		return Stdout, nil
	case "stderr":
		return Stderr, nil
	}
	return 0, fmt.Errorf("unknown stream %q", s)
}
