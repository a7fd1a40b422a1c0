package daemon

import (
	"context"
	"errors"
	"time"

	"naru/host/machine"
)

// A VM that dies after it was ready is booted again by itself, for what its containers' restart policies say to come back, and
// so that the next call finds it. One that dies at once, or again and again, is not: then the machine has failed.
const (
	diedAtOnce = time.Second
	deathsTime = time.Minute
	deathsMost = 5
)

// diedError is the end of a VM that had been ready.
type diedError struct {
	error
	up time.Duration
}

func (e *diedError) Unwrap() error { return e.error }

// lifetimes boots the VM, and boots it again after each rest and each death, until the machine's end.
func (d *Daemon) lifetimes(ctx context.Context) error {
	var deaths []time.Time
	for {
		resting, err := d.lifetime(ctx)
		var died *diedError
		switch {
		case errors.As(err, &died) && died.up >= diedAtOnce && len(deaths) < deathsMost:
			d.log.Error("the VM died and is booted again", "error", err)
			deaths = append(deaths, time.Now())
			if len(deaths) == deathsMost && time.Since(deaths[0]) > deathsTime {
				deaths = deaths[1:]
			}
		case err != nil || !resting:
			return err
		default:
			d.log.Info("the machine is at rest")
			select {
			case <-d.rest.wanted:
			case <-ctx.Done():
				return nil
			case <-d.state.stopping.Done():
				return nil
			}
		}
		d.mu.Lock()
		d.bootBegan = time.Now()
		d.mu.Unlock()
		d.state.set(machine.StateBooting, "boot again", nil)
		d.rest.woken()
	}
}

// awaitChange waits until the state is another one than ev's, which a client found untrue.
func (d *Daemon) awaitChange(ctx context.Context, ev machine.Event) error {
	for {
		now, changed := d.state.now()
		if now != ev {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
