package machine

import (
	"time"

	"naru/guest/api"
)

// The control socket: one Request line from the client, then Event lines from naru-machine. After the first Event
// of OpShell the connection is the shell's raw stream, half-close kept.

// Ops of a Request.
const (
	OpWatch  = "watch"  // an Event for each change of state or step until the machine is ready, failed or stopped
	OpStatus = "status" // one Event with Status
	OpStop   = "stop"   // as OpWatch, and stops; the connection ends when the machine has stopped
	OpShell  = "shell"  // one Event, then the raw stream of a shell in the guest
)

// Request is what a client asks of naru-machine.
type Request struct {
	Op    string `json:"op"`
	Shell *Shell `json:"shell,omitempty"`
	Kill  bool   `json:"kill,omitempty"` // OpStop: do not ask the guest, end the VM at once
}

// Shell says what runs in the guest and on which terminal. It ends with the stream; its exit code is not told.
type Shell struct {
	Command string `json:"command,omitempty"` // for sh -c; empty for a login shell
	Term    string `json:"term,omitempty"`    // TERM; empty for no terminal
	Rows    uint16 `json:"rows,omitempty"`
	Cols    uint16 `json:"cols,omitempty"`
}

// State is where the machine is in its life:
//
//	stopped → booting → running → stopping → stopped
//	             │        ↑└─→ idle: nothing ran for a while, the VM is off, and the next call boots it
//	             │        └─── booting ←┘
//	             └──→ failed (naru-machine ends; the next start begins anew)
type State string

// States of a machine.
const (
	StateStopped  State = "stopped"
	StateBooting  State = "booting"
	StateRunning  State = "running"
	StateIdle     State = "idle"
	StateStopping State = "stopping"
	StateFailed   State = "failed"
)

// Event is one line from naru-machine.
type Event struct {
	State  State   `json:"state"`
	Step   string  `json:"step,omitempty"`  // booting or stopping: what is being done, for people
	Error  string  `json:"error,omitempty"` // failed, or the request cannot be served
	Status *Status `json:"status,omitempty"`
}

// Status is what is known of a machine. Sizes are bytes.
type Status struct {
	State   State         `json:"state"`
	Step    string        `json:"step,omitempty"`
	Error   string        `json:"error,omitempty"`
	Version string        `json:"version,omitempty"` // of naru-machine
	Pid     int           `json:"pid,omitempty"`     // of naru-machine
	Started time.Time     `json:"started,omitzero"`  // of naru-machine
	Boot    time.Duration `json:"boot,omitempty"`    // from the start of naru-machine until ready

	Backend string `json:"backend,omitempty"` // "qemu"
	Accel   string `json:"accel,omitempty"`   // "kvm", "tcg", "hvf", "whpx"
	Note    string `json:"note,omitempty"`    // why it is not a faster one
	VMPid   int    `json:"vmPid,omitempty"`

	CPUs       int    `json:"cpus,omitempty"`
	Memory     uint64 `json:"memory,omitempty"`     // what the guest may use at most
	HostMemory uint64 `json:"hostMemory,omitempty"` // what the VM takes of the host's now
	Disk       uint64 `json:"disk,omitempty"`       // size of the data disk
	HostDisk   uint64 `json:"hostDisk,omitempty"`   // what its file takes of the host's disk now

	Socket string      `json:"socket"` // Docker API of the VM
	Shares []api.Share `json:"shares,omitempty"`
	Ports  []Port      `json:"ports,omitempty"`
	Guest  *api.Status `json:"guest,omitempty"` // nil when the guest does not answer
}

// Port is one port that the host listens on for a container.
type Port struct {
	Protocol string `json:"protocol"`
	HostIP   string `json:"hostIP"`
	HostPort uint16 `json:"hostPort"`
	Target   string `json:"target"`
}
