// Package keeperapi is the private wire between naru-engine and naru-keeper.
//
// Each call is its own connection to the keeper's unix socket: one JSON request line, one JSON reply line. After
// the reply of an attach call the connection carries the stream itself; after that of a watch call, one Exit a line.
// The keeper outlives the engine: a new engine calls List first and finds every process that still runs and every
// exit that it has not yet acknowledged with Forget.
package keeperapi

import (
	"time"

	"naru/guest/logfile"
)

// Ops of a Request.
const (
	OpStart  = "start"  // run Start.Args, keep the process it detaches; reply has Process
	OpAttach = "attach" // stream stdio of the process ID; see Attach
	OpSignal = "signal" // send Signal to the process: never to a reused pid
	OpResize = "resize" // set the terminal's Rows and Cols
	OpList   = "list"   // reply has Processes, once all starts asked for before are done: what runs, what ended and is not forgotten
	OpWatch  = "watch"  // first all unforgotten exits, then each new one as it is recorded, one Exit a line
	OpForget = "forget" // drop the exit record of ID; idempotent
)

// Request is one call.
type Request struct {
	Op     string  `json:"op"`
	ID     string  `json:"id,omitempty"`
	Start  *Start  `json:"start,omitempty"`
	Attach *Attach `json:"attach,omitempty"`
	Signal int     `json:"signal,omitempty"`
	Rows   uint16  `json:"rows,omitempty"`
	Cols   uint16  `json:"cols,omitempty"`
}

// Start tells the keeper to run an OCI runtime that detaches a process: a container's init (`crun run --detach`)
// or an exec (`crun exec --detach`). The keeper makes the pipes or the terminal, is the process's parent
// (subreaper), writes its log and records its exit.
type Start struct {
	// Args is the whole command line of the runtime. PidFile must be among the arguments: the keeper reads the
	// pid from there when the runtime has exited with 0.
	Args    []string `json:"args"`
	PidFile string   `json:"pidFile"`
	// ConsoleSocket, for a terminal, is the path given to the runtime as --console-socket: the keeper listens on it
	// before the runtime starts and receives the pty's master there. Empty for pipes.
	ConsoleSocket string `json:"consoleSocket,omitempty"`
	Rows          uint16 `json:"rows,omitempty"` // first size of the terminal, 0 for none
	Cols          uint16 `json:"cols,omitempty"`
	// Stdin keeps the process's stdin open for attachers; false gives it /dev/null. StdinOnce closes it when the
	// first attacher that has stdin half-closes or goes away.
	Stdin     bool `json:"stdin,omitempty"`
	StdinOnce bool `json:"stdinOnce,omitempty"`
	// Log is the path of the log to append to, empty for none; LogConfig says in which format, and when it is rotated.
	Log       string         `json:"log,omitempty"`
	LogConfig logfile.Config `json:"logConfig,omitzero"`
	// Attach, when set, makes this very connection an attach stream from the first byte on, so that no output is
	// missed: the reply line is sent when the process runs, then the stream begins.
	Attach *Attach `json:"attach,omitempty"`
	// Durable makes the keeper record the exit with fdatasync before anybody hears of it. Containers that are
	// removed on exit and execs do without.
	Durable bool `json:"durable,omitempty"`
}

// Attach says which streams the connection carries. Towards the engine: Docker's multiplexed frames (8-byte header:
// stream 1 or 2, 0, 0, 0, big-endian length), or raw bytes; see Framing. Towards the keeper: raw stdin; a half-close of
// the connection ends it. The keeper half-closes the connection when both outputs are at their end and every byte was
// sent.
//
// A reader that is slow has a bounded buffer. One that was there from the start (Start.Attach, Await) makes the process
// wait once that is full, as a pipe does: `run x | slow` loses nothing. One that came later makes it wait for a moment;
// then its connection is closed.
type Attach struct {
	Stdin  bool `json:"stdin,omitempty"`
	Stdout bool `json:"stdout,omitempty"`
	Stderr bool `json:"stderr,omitempty"`
	// Framing is FramingRaw or FramingFrames; empty is raw for a process with a terminal, else frames.
	Framing string `json:"framing,omitempty"`
	// Await attaches to a process that is to be started next: the reply comes at once, the stream with the first byte
	// of output. It ends with a start that fails. Framing is needed.
	Await bool `json:"await,omitempty"`
	// Mark makes the stream begin exactly where the log ends: the reply has Log, and lines without a newline that are
	// in no record yet come first.
	Mark bool `json:"mark,omitempty"`
}

// Values of Attach.Framing.
const (
	FramingRaw    = "raw"
	FramingFrames = "frames"
)

// Reply answers a Request.
type Reply struct {
	Error     string    `json:"error,omitempty"`
	Class     string    `json:"class,omitempty"`  // one of the Class constants, or empty (internal)
	Stderr    string    `json:"stderr,omitempty"` // class "runtime": what the runtime printed, at most 8 KiB
	Process   *Process  `json:"process,omitempty"`
	Processes []Process `json:"processes,omitempty"`
	// Log is where an attach with Mark begins, nil for a process without a log.
	Log *logfile.Position `json:"log,omitempty"`
}

// Process is one process the keeper keeps.
type Process struct {
	ID      string    `json:"id"`
	Pid     int       `json:"pid"`
	Started time.Time `json:"started"`
	Exit    *Exit     `json:"exit,omitempty"` // set when it has ended
}

// Exit is the end of a process.
type Exit struct {
	ID     string    `json:"id"`
	Code   int       `json:"code"` // 0–255; 128+n when ended by signal n
	Signal int       `json:"signal,omitempty"`
	Time   time.Time `json:"time"`
	// OutputDone is true in the record of Watch and List only after all output was written to the log.
	OutputDone bool `json:"outputDone"`
}
