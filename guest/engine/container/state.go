package container

import (
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// state is where a container is in its life. Its methods are the transitions; each refuses a state it does not
// start from. The caller holds the container's mu.
type state struct {
	Status          container.ContainerState
	Pid             int       `json:",omitempty"`
	ExitCode        int       `json:",omitempty"`
	Error           string    `json:",omitempty"`
	OOMKilled       bool      `json:",omitempty"`
	Started         time.Time `json:",omitzero"`
	Finished        time.Time `json:",omitzero"`
	RestartCount    int       `json:",omitempty"`
	ManuallyStopped bool      `json:",omitempty"` // a user's stop or kill: unless-stopped stays stopped
	StopAsked       bool      `json:",omitempty"` // the present run was told to end: no policy restarts it
	RemoveVolumes   bool      `json:",omitempty"` // removing: its anonymous volumes go too
	Paused          bool      `json:",omitempty"` // running: its processes are frozen
	ForNow          bool      `json:",omitempty"` // paused: by us, for as long as something takes
	// Backoff is the wait between the last end and the next start by the restart policy; 0 before the first one.
	Backoff time.Duration `json:",omitempty"`
}

// running is also true of a paused container: it has a process.
func (s *state) running() bool { return s.Status == container.StateRunning }

// shown is the state as users see it.
func (s *state) shown() container.ContainerState {
	if s.running() && s.Paused {
		return container.StatePaused
	}
	return s.Status
}

// alive is what Docker calls Running: also in the back-off between two runs.
func (s *state) alive() bool { return s.running() || s.Status == container.StateRestarting }

func errConflict(format string, args ...any) error {
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf(format, args...))
}

// say puts Docker's words before an error; they begin with a capital where Docker's do.
func say(words string, err error) error { return fmt.Errorf("%s: %w", words, err) }

func errNotRunning(id string) error { return errConflict("container %s is not running", id) }

// The two answers that make a 304: a start of what runs, and a stop of what does not.
var (
	errAlreadyRunning = errdefs.ErrNotModified.WithMessage("container is already running")
	errAlreadyStopped = errdefs.ErrNotModified.WithMessage("container is already stopped")
)

// canStart refuses what a user may not start. One that waits to be restarted runs already, as Docker sees it.
func (s *state) canStart() error {
	switch {
	case s.running() && s.Paused:
		return errConflict("cannot start a paused container, try unpause instead")
	case s.alive():
		return errAlreadyRunning
	case s.Status == container.StateRemoving, s.Status == container.StateDead:
		return errConflict("container is marked for removal and cannot be started")
	}
	return nil
}

// start: created, exited, restarting → running.
func (s *state) start(pid int, at time.Time) {
	s.Status, s.Pid, s.Started, s.Paused, s.ForNow = container.StateRunning, pid, at, false, false
	s.ExitCode, s.Error, s.OOMKilled, s.StopAsked, s.ManuallyStopped = 0, "", false, false, false
}

// pause: running → paused.
func (s *state) pause(id string) error {
	switch {
	case s.Status == container.StateRestarting:
		return errConflict("Container %s is restarting, wait until the container is running", id)
	case !s.running():
		return errNotRunning(id)
	case s.Paused:
		return errConflict("container %s is already paused", id)
	}
	s.Paused = true
	return nil
}

// canUnpause refuses what is not paused.
func (s *state) canUnpause(id string) error {
	if !s.running() || !s.Paused {
		return errdefs.ErrInternal.WithMessage("Container " + id + " is not paused")
	}
	return nil
}

// canAttach refuses where streams would be silent or soon others; ref is what the user calls the container.
func (s *state) canAttach(ref string) error {
	switch s.shown() {
	case container.StatePaused:
		return errConflict("container %s is paused, unpause the container before attach", ref)
	case container.StateRestarting:
		return errConflict("container %s is restarting, wait until the container is running", ref)
	}
	return nil
}

// canExec refuses where no process can be added; ref is what the user calls the container.
func (s *state) canExec(ref, id string) error {
	switch {
	case s.running() && s.Paused:
		return errConflict("Container %s is paused, unpause the container before exec", ref)
	case s.running():
		return nil
	case s.Status == container.StateRestarting:
		return errConflict("Container %s is restarting, wait until the container is running", id)
	}
	return errNotRunning(id)
}

// failStart keeps what was, and tells why it did not run. A container that waited to be restarted has exited now.
func (s *state) failStart(code int, err error) {
	s.ExitCode, s.Error = code, err.Error()
	if s.Status != container.StateCreated {
		s.Status = container.StateExited
	}
}

// end: running → exited or restarting.
func (s *state) end(code int, at time.Time, restart bool) {
	s.Status = container.StateExited
	if restart {
		s.Status = container.StateRestarting
		s.RestartCount++
	}
	s.Pid, s.Paused, s.ForNow, s.ExitCode, s.Finished = 0, false, false, code, at
}

// giveUp: restarting → exited.
func (s *state) giveUp() error {
	if s.Status != container.StateRestarting {
		return fmt.Errorf("give up restarting: container is %s", s.Status)
	}
	s.Status = container.StateExited
	return nil
}

// remove: anything but running → removing. The errors are completed with the name that the user gave.
func (s *state) remove(volumes bool) error {
	switch {
	case s.running() && s.Paused:
		return errConflict("container is paused and must be unpaused first")
	case s.alive():
		return errConflict("container is %s: stop the container before removing or force remove", s.Status)
	case s.Status == container.StateRemoving:
		return errRemoving
	}
	s.Status, s.RemoveVolumes = container.StateRemoving, volumes
	return nil
}

// errRemoving is of a removal that finds another one at work.
var errRemoving = errdefs.ErrConflict.WithMessage("removal is already in progress")

// failRemove: removing → dead, which can only be removed again.
func (s *state) failRemove(err error) { s.Status, s.Error = container.StateDead, err.Error() }

// shouldRestart applies the restart policy to a run that has ended with code.
func (s *state) shouldRestart(p container.RestartPolicy, code int) bool {
	if s.StopAsked {
		return false
	}
	switch p.Name {
	case container.RestartPolicyAlways:
		return true
	case container.RestartPolicyUnlessStopped:
		return !s.ManuallyStopped
	case container.RestartPolicyOnFailure:
		return code != 0 && (p.MaximumRetryCount == 0 || s.RestartCount < p.MaximumRetryCount)
	}
	return false
}

// The back-off between the runs of a container that ends again and again, as in Docker.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = time.Minute
	stableAfter  = 10 * time.Second // a run of this length starts the back-off anew
)

// backOff sets the wait before the next run, after one that took so long.
func (s *state) backOff(ran time.Duration) {
	if s.Backoff == 0 || ran >= stableAfter {
		s.Backoff = firstBackoff
		return
	}
	s.Backoff = min(2*s.Backoff, lastBackoff)
}

// atEngineStart says whether an engine that starts runs the container again.
func (s *state) atEngineStart(p container.RestartPolicy) bool {
	if s.Started.IsZero() {
		return false
	}
	switch p.Name {
	case container.RestartPolicyAlways:
		return true
	case container.RestartPolicyUnlessStopped:
		return !s.ManuallyStopped
	case container.RestartPolicyOnFailure:
		return !s.ManuallyStopped && s.ExitCode != 0 && (p.MaximumRetryCount == 0 || s.RestartCount < p.MaximumRetryCount)
	}
	return false
}
