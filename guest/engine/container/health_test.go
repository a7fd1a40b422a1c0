package container

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

func TestCheckOf(t *testing.T) {
	h := checkOf(&container.Config{Healthcheck: &container.HealthConfig{Test: []string{"CMD-SHELL", "a b"}}})
	if !slices.Equal(h.cmd, []string{"/bin/sh", "-c", "a b"}) || h.interval != 30*time.Second || h.timeout != 30*time.Second ||
		h.startPeriod != 0 || h.startInterval != 5*time.Second || h.retries != 3 {
		t.Errorf("defaults: %+v", h)
	}
	h = checkOf(&container.Config{Shell: []string{"/bin/bash", "-xc"}, Healthcheck: &container.HealthConfig{Test: []string{"CMD-SHELL", "a"}}})
	if !slices.Equal(h.cmd, []string{"/bin/bash", "-xc", "a"}) {
		t.Errorf("shell: %q", h.cmd)
	}
	for _, test := range [][]string{nil, {}, {"NONE"}, {"UNKNOWN", "x"}} {
		if h := checkOf(&container.Config{Healthcheck: &container.HealthConfig{Test: test}}); h != nil {
			t.Errorf("%q: %+v", test, h)
		}
	}
	if err := checkHealth(&container.HealthConfig{Interval: time.Microsecond}); !errdefs.IsInvalidArgument(err) ||
		err.Error() != "Interval in Healthcheck cannot be less than 1ms" {
		t.Errorf("short interval: %v", err)
	}
	if err := checkHealth(&container.HealthConfig{Retries: -1}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("retries: %v", err)
	}
}

func TestHealthAfter(t *testing.T) {
	started := time.Now()
	h := &healthCheck{startPeriod: time.Minute, retries: 2, interval: time.Hour, startInterval: time.Second}
	now := container.Health{Status: container.Starting}
	for i, step := range []struct {
		at     time.Duration
		code   int
		status container.HealthStatus
		streak int
		wait   time.Duration
	}{
		{time.Second, 1, container.Starting, 0, time.Second}, // within the start period
		{2 * time.Second, -1, container.Starting, 0, time.Second},
		{61 * time.Second, 1, container.Starting, 1, time.Hour},
		{62 * time.Second, 1, container.Unhealthy, 2, time.Hour},
		{63 * time.Second, 1, container.Unhealthy, 3, time.Hour},
		{64 * time.Second, 0, container.Healthy, 0, time.Hour},
		{65 * time.Second, 1, container.Healthy, 1, time.Hour},
	} {
		before := now
		now = *h.after(&before, &container.HealthcheckResult{Start: started.Add(step.at), ExitCode: step.code}, started)
		if now.Status != step.status || now.FailingStreak != step.streak || len(now.Log) != min(i+1, maxHealthLog) {
			t.Errorf("step %d: %+v", i, now)
		}
		if w := h.wait(started, started.Add(step.at), now.Status); w != step.wait {
			t.Errorf("step %d: wait %v", i, w)
		}
	}
	// Once healthy within the start period, failures count and the interval is the usual one.
	healthy := container.Health{Status: container.Healthy}
	next := h.after(&healthy, &container.HealthcheckResult{Start: started, ExitCode: 1}, started)
	if next.FailingStreak != 1 || h.wait(started, started, next.Status) != time.Hour {
		t.Errorf("failure after the first success: %+v", next)
	}
}

func TestLimitedBuffer(t *testing.T) {
	b := &limitedBuffer{}
	fmt.Fprint(b, strings.Repeat("x", maxProbeOutput-1))
	fmt.Fprint(b, "y")
	if s := b.String(); len(s) != maxProbeOutput || !strings.HasSuffix(s, "xy") {
		t.Errorf("full: %d bytes", len(s))
	}
	fmt.Fprint(b, "zz")
	if s := b.String(); len(s) != maxProbeOutput+3 || !strings.HasSuffix(s, "xy...") {
		t.Errorf("more than full: %d bytes", len(s))
	}
}

func TestProbeGate(t *testing.T) {
	g := make(probeGate, 1)
	leave := g.enter(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.enter(ctx)() // gives up, and has no turn to give on
	leave()
	leave()
	g.enter(t.Context())()
}
