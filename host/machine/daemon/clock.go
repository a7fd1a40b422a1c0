package daemon

import (
	"context"
	"time"

	"naru/guest/api"
)

// The guest's clock is compared with the host's twice a second, by one small request: whatever went wrong – the host slept
// or its clock was set, the hypervisor was stopped, the guest's own clock drifts or was set – the clock is right within a
// second after. Where the host's clock jumped is not asked, since a stopped hypervisor shows no jump.
const (
	clockEvery = 500 * time.Millisecond
	// clockOff is by how much the guest's clock may differ. A step backwards is seen by programs, so small ones do not pay.
	clockOff = 20 * time.Millisecond
	// clockSlow is the round trip after which a comparison is worth little, and another one is made at once.
	clockSlow  = 20 * time.Millisecond
	clockTries = 5
	// clockPatience is how long an answer may take. A guest that is stopped gives none.
	clockPatience = 5 * time.Second
)

// keepTime keeps the guest's clock right until ctx ends. Containers' timers run by the monotonic clock and are not touched.
func (d *Daemon) keepTime(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	silent := false
	for {
		err := d.correctTime(ctx)
		if err != nil && !silent && ctx.Err() == nil {
			d.log.Warn("compare the guest's clock", "error", err)
		}
		silent = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// correctTime compares the clocks and steps the guest's when it is off by more than what the comparison leaves open.
func (d *Daemon) correctTime(ctx context.Context) error {
	best, trip := time.Duration(0), time.Duration(-1)
	for range clockTries {
		off, took, err := d.compareTime(ctx)
		if err != nil {
			return err
		}
		if trip < 0 || took < trip {
			best, trip = off, took
		}
		if took <= clockSlow {
			break
		}
	}
	// The guest read its clock somewhere within the round trip.
	if best.Abs() <= clockOff+trip/2 {
		return nil
	}
	d.log.Info("the guest's clock is set", "off", best, "within", trip/2)
	ctx, cancel := context.WithTimeout(ctx, clockPatience)
	defer cancel()
	_, err := d.ask(ctx, api.ControlRequest{Op: api.OpStepTime, Step: -best})
	return err
}

// compareTime tells how far the guest's clock is ahead of the host's, and how long the question took.
func (d *Daemon) compareTime(ctx context.Context) (off, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, clockPatience)
	defer cancel()
	asked := time.Now()
	reply, err := d.ask(ctx, api.ControlRequest{Op: api.OpTime})
	if err != nil {
		return 0, 0, err
	}
	took = time.Since(asked)
	return reply.Time.Sub(asked.Round(0).Add(took / 2)), took, nil // Round(0): by the wall clock
}
