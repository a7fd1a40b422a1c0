package container

import (
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// waiter is told once, when its condition is met.
type waiter struct {
	until container.WaitCondition
	told  chan container.WaitResponse
}

// Wait returns a channel that gets one answer when the condition is met. stop must be called when nobody listens
// any more.
func (m *Manager) Wait(ref string, until container.WaitCondition) (told <-chan container.WaitResponse, stop func(), err error) {
	switch until {
	case "":
		until = container.WaitConditionNotRunning
	case container.WaitConditionNotRunning, container.WaitConditionNextExit, container.WaitConditionRemoved:
	default:
		return nil, nil, errdefs.ErrInvalidArgument.WithMessage("invalid condition: \"" + string(until) + "\"")
	}
	c, err := m.find(ref)
	if err != nil {
		return m.waitLate(ref, until, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return m.waitLate(ref, until, errdefs.ErrNotFound.WithMessage("No such container: "+ref))
	}
	told = c.wait(until)
	return told, func() { c.unwait(told) }, nil
}

// waitLate is Wait for a container that is not there: err, but for one that its own end has just removed.
func (m *Manager) waitLate(ref string, until container.WaitCondition, err error) (<-chan container.WaitResponse, func(), error) {
	result, ok := m.recent.find(ref, time.Now())
	if !ok || until == container.WaitConditionNextExit {
		return nil, nil, err
	}
	told := make(chan container.WaitResponse, 1)
	told <- result
	return told, func() {}, nil
}

// wait is Wait with c.mu held.
func (c *Container) wait(until container.WaitCondition) <-chan container.WaitResponse {
	w := &waiter{until, make(chan container.WaitResponse, 1)}
	if until == container.WaitConditionNotRunning && !c.State.alive() {
		w.told <- c.result()
		return w.told
	}
	c.waiters = append(c.waiters, w)
	return w.told
}

func (c *Container) unwait(told <-chan container.WaitResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiters = slices.DeleteFunc(c.waiters, func(w *waiter) bool { return w.told == told })
}

func (c *Container) result() container.WaitResponse {
	r := container.WaitResponse{StatusCode: int64(c.State.ExitCode)}
	if c.State.Error != "" {
		r.Error = &container.WaitExitError{Message: c.State.Error}
	}
	return r
}

// notifyEnd tells those who wait for the end of a run.
func (c *Container) notifyEnd() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiters = slices.DeleteFunc(c.waiters, func(w *waiter) bool {
		if w.until == container.WaitConditionRemoved {
			return false
		}
		w.told <- c.result()
		return true
	})
}

// notifyRemoved tells everybody: nothing else can happen any more.
func (c *Container) notifyRemoved() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.waiters {
		w.told <- c.result()
	}
	c.waiters = nil
}
