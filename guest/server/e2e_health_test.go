package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// checked starts a container with a health check.
func (d *daemon) checked(name string, h container.HealthConfig) string {
	d.t.Helper()
	id := d.create(name, nil, container.Config{Cmd: []string{"wait"}, Healthcheck: &h})
	_, err := d.ContainerStart(d.t.Context(), id, client.ContainerStartOptions{})
	must(d.t, err)
	return id
}

// inside runs the probe program in a container, and returns its exit code.
func (d *daemon) inside(id string, cmd ...string) int {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	x, err := d.ExecCreate(ctx, id, client.ExecCreateOptions{Cmd: append([]string{"/probe"}, cmd...), AttachStdout: true})
	must(d.t, err)
	a, err := d.ExecAttach(ctx, x.ID, client.ExecAttachOptions{})
	must(d.t, err)
	defer a.Close()
	_, _ = a.Reader.WriteTo(discard{})
	got, err := d.ExecInspect(ctx, x.ID, client.ExecInspectOptions{})
	must(d.t, err)
	return got.ExitCode
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// becomes waits until a container's health has the status.
func (d *daemon) becomes(id string, status container.HealthStatus) *container.Health {
	d.t.Helper()
	var h *container.Health
	d.eventually("health "+string(status), func() bool {
		h = d.inspect(id).State.Health
		return h != nil && h.Status == status
	})
	return h
}

func TestHealth(t *testing.T) {
	d := startDaemon(t)
	const soon = 50 * time.Millisecond
	exists := []string{"CMD", "/probe", "exists", "/ok"}

	t.Run("life", func(t *testing.T) {
		id := d.checked("life", container.HealthConfig{Test: exists, Interval: soon, StartPeriod: time.Hour, StartInterval: soon, Retries: 2})
		if h := d.inspect(id).State.Health; h == nil || h.Status != container.Starting {
			t.Fatalf("at the start: %+v", h)
		}
		d.eventually("a failure that does not count", func() bool { return len(d.inspect(id).State.Health.Log) > 2 })
		h := d.inspect(id).State.Health
		if r := h.Log[0]; h.Status != container.Starting || h.FailingStreak != 0 || r.ExitCode != 1 || r.Output != "not there\n" || r.End.Before(r.Start) {
			t.Errorf("within the start period: %+v %+v", h, *h.Log[0])
		}
		d.inside(id, "touch", "/ok")
		d.becomes(id, container.Healthy)
		d.inside(id, "remove", "/ok")
		h = d.becomes(id, container.Unhealthy)
		if h.FailingStreak < 2 || len(h.Log) != 5 {
			t.Errorf("unhealthy: %+v", h)
		}
		list, err := d.ContainerList(t.Context(), client.ContainerListOptions{Filters: client.Filters{}.Add("health", "unhealthy")})
		must(t, err)
		if len(list.Items) != 1 || !strings.HasSuffix(list.Items[0].Status, " (unhealthy)") {
			t.Errorf("list: %+v", list.Items)
		}
		got := d.eventsOf(id)
		want := []string{"create", "start", "exec_create: /probe exists /ok", "exec_start: /probe exists /ok", "exec_die"}
		if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
			t.Errorf("events: %q", got)
		}
		got = slices.DeleteFunc(got, func(a string) bool { return !strings.HasPrefix(a, "health") })
		if !slices.Equal(got, []string{"health_status: healthy", "health_status: unhealthy"}) {
			t.Errorf("events of health: %q", got)
		}
	})

	t.Run("timeout", func(t *testing.T) {
		id := d.checked("timeout", container.HealthConfig{Test: []string{"CMD", "/probe", "stubborn"}, Interval: soon, Timeout: 200 * time.Millisecond, Retries: 1})
		h := d.becomes(id, container.Unhealthy)
		if r := h.Log[0]; r.ExitCode != -1 || r.Output != "Health check exceeded timeout (200ms): ready\n" {
			t.Errorf("result: %+v", r)
		}
		d.eventually("the probe is gone", func() bool { return len(d.inspect(id).ExecIDs) <= 1 })
	})

	t.Run("what cannot run", func(t *testing.T) {
		id := d.checked("cannot", container.HealthConfig{Test: []string{"CMD-SHELL", "true"}, Interval: soon, Retries: 1})
		h := d.becomes(id, container.Unhealthy)
		if r := h.Log[0]; r.ExitCode != -1 || !strings.Contains(r.Output, `exec: "/bin/sh": stat /bin/sh: no such file or directory`) {
			t.Errorf("result: %+v", r)
		}
	})

	t.Run("none", func(t *testing.T) {
		id := d.checked("none", container.HealthConfig{Test: []string{"NONE"}})
		list, err := d.ContainerList(t.Context(), client.ContainerListOptions{Filters: client.Filters{}.Add("health", "none")})
		must(t, err)
		if h := d.inspect(id).State.Health; h != nil || len(list.Items) != 1 || list.Items[0].ID != id {
			t.Errorf("%+v, list %+v", h, list.Items)
		}
	})

	t.Run("end and start", func(t *testing.T) {
		id := d.checked("again", container.HealthConfig{Test: []string{"CMD", "/probe", "echo", "hi"}, Interval: soon})
		d.becomes(id, container.Healthy)
		_, err := d.ContainerStop(t.Context(), id, client.ContainerStopOptions{})
		must(t, err)
		h := d.inspect(id).State.Health
		if h.Status != container.Unhealthy || len(h.Log) == 0 {
			t.Errorf("stopped: %+v", h)
		}
		_, err = d.ContainerStart(t.Context(), id, client.ContainerStartOptions{})
		must(t, err)
		d.becomes(id, container.Healthy)
	})

	t.Run("paused", func(t *testing.T) {
		id := d.checked("paused", container.HealthConfig{Test: []string{"CMD", "/probe", "echo", "hi"}, Interval: time.Millisecond})
		d.becomes(id, container.Healthy)
		for range 5 { // each at another moment of the probe
			_, err := d.ContainerPause(t.Context(), id, client.ContainerPauseOptions{})
			must(t, err)
			if c := d.inspect(id); c.State.Health.Status != container.Unhealthy || len(c.ExecIDs) > 1 {
				t.Errorf("paused: %+v %q", c.State.Health, c.ExecIDs)
			}
			_, err = d.ContainerUnpause(t.Context(), id, client.ContainerUnpauseOptions{})
			must(t, err)
			d.becomes(id, container.Healthy)
		}
	})

	t.Run("engine killed", func(t *testing.T) {
		id := d.checked("killed", container.HealthConfig{Test: exists, Interval: soon, Retries: 1})
		d.inside(id, "touch", "/ok")
		d.becomes(id, container.Healthy)
		slow := d.checked("slow", container.HealthConfig{Test: []string{"CMD", "/probe", "stubborn"}, Interval: soon})
		d.eventually("a probe runs", func() bool { return len(d.inspect(slow).ExecIDs) == 1 })
		d.killEngine()
		if h := d.inspect(id).State.Health; h.Status != container.Healthy {
			t.Errorf("after the kill: %+v", h)
		}
		d.inside(id, "remove", "/ok")
		d.becomes(id, container.Unhealthy)
		d.eventually("the new engine probes", func() bool { return len(d.inspect(slow).ExecIDs) == 1 })
		top, err := d.ContainerTop(t.Context(), slow, client.ContainerTopOptions{})
		must(t, err)
		if len(top.Processes) > 2 {
			t.Errorf("a probe of the former engine is left: %q", top.Processes)
		}
		if got := d.eventsOf(id); slices.Contains(got, "health_status: healthy") {
			t.Errorf("told twice: %q", got)
		}
	})
}

// TestHealthOfKilledEngines kills engines at any moment of a probe: nothing changes for the containers, and nothing is left.
func TestHealthOfKilledEngines(t *testing.T) {
	d := startDaemon(t)
	var ids []string
	for _, name := range []string{"aa", "bb", "cc"} {
		ids = append(ids, d.checked(name, container.HealthConfig{Test: []string{"CMD", "/probe", "echo"}, Interval: time.Millisecond}))
	}
	for range 3 {
		for _, id := range ids {
			d.becomes(id, container.Healthy)
		}
		d.killEngine()
		for _, id := range ids {
			if h := d.inspect(id).State.Health; h.Status != container.Healthy || h.FailingStreak != 0 {
				t.Fatalf("after a kill: %+v", h)
			}
		}
	}
	for _, id := range ids {
		_, err := d.ContainerPause(t.Context(), id, client.ContainerPauseOptions{}) // no probe is under way now
		must(t, err)
		bundle := fmt.Sprintf("/proc/%d/root%s/engine/run/bundles/%s", d.cmd.Process.Pid, d.home, id)
		if _, err := os.Stat(bundle + "/config.json"); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(bundle + "/exec-*"); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		top, err := d.ContainerTop(t.Context(), id, client.ContainerTopOptions{})
		must(t, err)
		if len(top.Processes) > 2 {
			t.Errorf("processes: %q", top.Processes)
		}
		_, err = d.ContainerUnpause(t.Context(), id, client.ContainerUnpauseOptions{})
		must(t, err)
	}
}

// eventsOf returns the actions of a container so far.
func (d *daemon) eventsOf(id string) (actions []string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	now := time.Now().Format(time.RFC3339Nano)
	got := d.Events(ctx, client.EventsListOptions{Since: "1", Until: now, Filters: client.Filters{}.Add("container", id)})
	for {
		select {
		case m := <-got.Messages:
			if m.Type == events.ContainerEventType {
				actions = append(actions, string(m.Action))
			}
		case <-got.Err: // at its end
			return actions
		}
	}
}
