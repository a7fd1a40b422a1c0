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
}

func (s *state) running() bool { return s.Status == container.StateRunning }

// alive is what Docker calls Running: also in the back-off between two runs.
func (s *state) alive() bool { return s.running() || s.Status == container.StateRestarting }

// errNotModified makes 304 of a start of what runs and a stop of what does not.
func notModified(id, what string) error {
	return errdefs.ErrNotModified.WithMessage(fmt.Sprintf("container %s is already %s", id, what))
}

func (s *state) canStart(id string) error {
	switch s.Status {
	case container.StateRunning:
		return notModified(id, "started")
	case container.StateRemoving, container.StateDead:
		return errdefs.ErrConflict.WithMessage("container is marked for removal and cannot be started")
	}
	return nil
}

// start: created, exited, restarting → running.
func (s *state) start(pid int, at time.Time) {
	s.Status, s.Pid, s.Started = container.StateRunning, pid, at
	s.ExitCode, s.Error, s.OOMKilled, s.StopAsked, s.ManuallyStopped = 0, "", false, false, false
}

// failStart keeps what was, and tells why it did not run. A container that waited to be restarted has exited now.
func (s *state) failStart(code int, err error) {
	s.ExitCode, s.Error = code, err.Error()
	if s.Status != container.StateCreated {
		s.Status = container.StateExited
	}
}

// end: running → exited or restarting.
func (s *state) end(code int, at time.Time, oom, restart bool) {
	s.Status = container.StateExited
	if restart {
		s.Status = container.StateRestarting
		s.RestartCount++
	}
	s.Pid, s.ExitCode, s.OOMKilled, s.Finished = 0, code, oom, at
}

// giveUp: restarting → exited.
func (s *state) giveUp() error {
	if s.Status != container.StateRestarting {
		return fmt.Errorf("give up restarting: container is %s", s.Status)
	}
	s.Status = container.StateExited
	return nil
}

// remove: anything but running → removing.
func (s *state) remove(name string, volumes bool) error {
	switch s.Status {
	case container.StateRunning, container.StateRestarting:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf(
			"cannot remove container %q: container is %s: stop the container before removing or force remove", name, s.Status))
	case container.StateRemoving:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("removal of container %s is already in progress", name))
	}
	s.Status, s.RemoveVolumes = container.StateRemoving, volumes
	return nil
}

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
