// Package logfile writes and reads a container's log, over all the files that its rotation makes:
//
//	<path>  <path>.1  <path>.2.gz …      the newest first
//
// In Docker's json-file format, so that whatever reads Docker's logs reads ours, it is one JSON object a line:
//
//	{"log":"text\n","stream":"stdout","attrs":{"tag":"web"},"time":"2026-01-02T15:04:05.123456789Z"}
//
// and in the compact format of the driver `local` the stream (o or e; O or E for a piece of a line that goes on), the
// time in nanoseconds since 1970 in hex, the attributes, and the text as it is:
//
//	o18b2c3d4e5f60718 tag=web text
//
// naru-keeper holds the one Writer of a log; the engine reads it with a Reader, also while it grows and is rotated.
// No lock is shared between them: files only ever move to higher numbers, and a reader that looks for them goes the
// same way, so that it may meet a file twice (which it sees) and misses none.
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
	Time   time.Time // UTC; no two entries of a Writer have the same
	// Line ends with its newline, except for a piece and for a last line that had none. It is valid only until the
	// callback returns.
	Line []byte
	// Attrs are what the log driver's options labels, env and tag chose, nil unless Options.Attrs asks for them. They
	// are shared between entries and must not be changed.
	Attrs map[string]string
}

// Config says how a log is written. The zero value is Docker's default: json-file that grows without bound.
type Config struct {
	Compact  bool              `json:"compact,omitempty"`  // the format of the driver `local`
	MaxSize  int64             `json:"maxSize,omitempty"`  // bytes of a file before the next one is begun; 0 for no bound
	MaxFiles int               `json:"maxFiles,omitempty"` // how many files are kept; below 2 the older ones are not
	Compress bool              `json:"compress,omitempty"` // gzip the older files
	Attrs    map[string]string `json:"attrs,omitempty"`    // go into each record
	// Buffer makes writing lossy instead of blocking: entries wait in memory up to this many bytes, and what does not
	// fit is dropped. 0 writes at once.
	Buffer int64 `json:"buffer,omitempty"`
}

// Position is a place in a log: all records before it are complete.
type Position struct {
	Inode  uint64 `json:"inode"`
	Offset int64  `json:"offset"`
}

// Options choose what a Reader delivers.
type Options struct {
	Stdout, Stderr bool // which streams; with neither, nothing is delivered
	// Tail is the number of last entries to begin with; 0 for none, negative (All) for the whole log. As in Docker
	// it counts entries before any other choice is applied.
	Tail int
	// Since leaves out the entries before the first one at or after it; zero for no bound.
	Since time.Time
	Until time.Time // only entries before or at it; zero for no bound. Following ends at that time
	Attrs bool      // decode the attributes
	// Idle is called whenever all that there is was delivered and more is waited for; nil for nothing to do.
	Idle func() error
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
