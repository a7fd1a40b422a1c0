package server

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// TestPausedThroughKill: a paused container stays paused when the engine is killed, can be unpaused by the next one, and is
// ended gracefully when the engine ends.
func TestPausedThroughKill(t *testing.T) {
	d := startDaemon(t)
	paused, free := d.up("paused", nil, "wait"), d.up("free", nil, "wait")
	d.ready("paused")
	d.ready("free")
	for _, id := range []string{paused, free} {
		_, err := d.ContainerPause(t.Context(), id, client.ContainerPauseOptions{})
		must(t, err)
	}
	_, err := d.ContainerUnpause(t.Context(), free, client.ContainerUnpauseOptions{})
	must(t, err)
	before := d.inspect(paused).State
	d.killEngine()
	after := d.inspect(paused).State
	if after.Status != "paused" || !after.Paused || !after.Running || after.Pid != before.Pid || after.StartedAt != before.StartedAt {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if s := d.inspect(free).State; s.Status != "running" || s.Paused {
		t.Errorf("unpaused: %+v", s)
	}
	info, err := d.Info(t.Context(), client.InfoOptions{})
	must(t, err)
	if info.Info.ContainersPaused != 1 || info.Info.ContainersRunning != 1 {
		t.Errorf("info: %d paused, %d running", info.Info.ContainersPaused, info.Info.ContainersRunning)
	}
	if _, err := d.ExecCreate(t.Context(), paused, client.ExecCreateOptions{Cmd: []string{"/probe"}}); !cerrdefs.IsConflict(err) {
		t.Errorf("exec in a paused container: %v", err)
	}
	_, err = d.ContainerUnpause(t.Context(), paused, client.ContainerUnpauseOptions{})
	must(t, err)
	_, err = d.ContainerPause(t.Context(), paused, client.ContainerPauseOptions{})
	must(t, err)
	d.stop()
	d.start()
	for _, id := range []string{paused, free} {
		if s := d.inspect(id).State; s.Status != "exited" || s.Paused || s.ExitCode != 3 {
			t.Errorf("after the engine's end: %+v", s)
		}
	}
}

// TestBackOffThroughKill: the wait between two runs grows and is counted through the engine's death, a policy can be changed
// in it, and a stop ends it for good.
func TestBackOffThroughKill(t *testing.T) {
	d := startDaemon(t)
	id := d.up("again", &container.HostConfig{RestartPolicy: container.RestartPolicy{Name: "on-failure"}}, "exit", "1")
	waiting := func(least int) container.InspectResponse {
		var c container.InspectResponse
		d.eventually("restarts", func() bool {
			c = d.inspect(id)
			return c.RestartCount >= least && c.State.Restarting
		})
		return c
	}
	before := waiting(4) // the wait is 800 ms now
	d.killEngine()
	after := d.inspect(id)
	if after.RestartCount < before.RestartCount || !after.State.Running {
		t.Errorf("before %d %+v, after %d %+v", before.RestartCount, before.State, after.RestartCount, after.State)
	}
	next := waiting(before.RestartCount + 1)
	ended, started := parseTime(t, before.State.FinishedAt), parseTime(t, next.State.StartedAt)
	if next.RestartCount == before.RestartCount+1 && started.Sub(ended) < 700*time.Millisecond {
		t.Errorf("the back-off began anew: %v between the runs", started.Sub(ended))
	}
	_, err := d.ContainerUpdate(t.Context(), id, client.ContainerUpdateOptions{
		RestartPolicy: &container.RestartPolicy{Name: "on-failure", MaximumRetryCount: next.RestartCount + 1},
	})
	must(t, err)
	d.eventually("the last run", func() bool { return d.inspect(id).State.Status == "exited" })
	if c := d.inspect(id); c.RestartCount != next.RestartCount+1 || c.State.ExitCode != 1 {
		t.Errorf("at the end: %d restarts, %+v", c.RestartCount, c.State)
	}
	d.killEngine()
	if c := d.inspect(id); c.State.Status != "exited" || c.HostConfig.RestartPolicy.MaximumRetryCount != next.RestartCount+1 {
		t.Errorf("after its retries, a new engine has it as %+v %+v", c.State, c.HostConfig.RestartPolicy)
	}
}

func parseTime(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	must(t, err)
	return at
}

// TestPolicyOrders: what users and policies want of each other.
func TestPolicyOrders(t *testing.T) {
	d := startDaemon(t)
	policy := func(name container.RestartPolicyMode) *container.HostConfig {
		return &container.HostConfig{RestartPolicy: container.RestartPolicy{Name: name}}
	}
	second := 1 // its second run may be told to end before it listens
	stopped := d.create("stopped", policy("unless-stopped"), container.Config{Cmd: []string{"wait"}, StopTimeout: &second})
	_, err := d.ContainerStart(t.Context(), stopped, client.ContainerStartOptions{})
	must(t, err)
	hup := d.up("hup", policy("always"), "wait")
	killed := d.up("killed", policy("always"), "wait")
	d.ready("stopped")
	d.ready("hup")
	_, err = d.ContainerStop(t.Context(), stopped, client.ContainerStopOptions{})
	must(t, err)
	// A user's signal of any kind ends the restarts, as in Docker, where no stop signal is set.
	_, err = d.ContainerKill(t.Context(), hup, client.ContainerKillOptions{Signal: "HUP"})
	must(t, err)
	d.eventually("end by HUP", func() bool { return d.inspect(hup).State.Status == "exited" })
	_, err = d.ContainerKill(t.Context(), killed, client.ContainerKillOptions{})
	must(t, err)
	if s := d.inspect(killed).State; s.Status != "exited" || s.ExitCode != 137 {
		t.Errorf("killed: %+v", s)
	}
	d.killEngine()
	d.eventually("always runs again with a new engine", func() bool {
		return d.inspect(killed).State.Status == "running" && d.inspect(hup).State.Status == "running"
	})
	if s := d.inspect(stopped).State; s.Status != "exited" {
		t.Errorf("unless-stopped: %+v", s)
	}
	for _, id := range []string{hup, killed} {
		_, err := d.ContainerRemove(t.Context(), id, client.ContainerRemoveOptions{Force: true})
		must(t, err)
	}
	_, err = d.ContainerStart(t.Context(), stopped, client.ContainerStartOptions{})
	must(t, err)
	d.ready("stopped")
	d.stop()
	d.start()
	d.eventually("unless-stopped runs again", func() bool { return d.inspect(stopped).State.Status == "running" })
}

// TestWaitConditions: each condition has its moment, and a paused or restarting container none of its own.
func TestWaitConditions(t *testing.T) {
	d := startDaemon(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	id := d.up("waited", nil, "wait")
	d.ready("waited")
	var told []client.ContainerWaitResult
	for _, c := range []container.WaitCondition{container.WaitConditionNotRunning, container.WaitConditionNextExit, container.WaitConditionRemoved} {
		told = append(told, d.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: c}))
	}
	_, err := d.ContainerPause(ctx, id, client.ContainerPauseOptions{})
	must(t, err)
	select {
	case <-told[0].Result:
		t.Fatal("a paused container was taken for one that does not run")
	default:
	}
	_, err = d.ContainerKill(ctx, id, client.ContainerKillOptions{})
	must(t, err)
	await := func(w client.ContainerWaitResult) {
		t.Helper()
		select {
		case r := <-w.Result:
			if r.StatusCode != 137 || r.Error != nil {
				t.Errorf("%+v", r)
			}
		case err := <-w.Error:
			t.Error(err)
		}
	}
	await(told[0])
	await(told[1])
	_, err = d.ContainerRemove(ctx, id, client.ContainerRemoveOptions{})
	must(t, err)
	await(told[2])
}

// TestWaitInBackOff: who waits for the end of a container that waits to run again is told when a user ends that.
func TestWaitInBackOff(t *testing.T) {
	d := startDaemon(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	id := d.up("again", &container.HostConfig{RestartPolicy: container.RestartPolicy{Name: "always"}}, "exit", "4")
	d.eventually("a long back-off", func() bool { c := d.inspect(id); return c.RestartCount >= 4 && c.State.Restarting })
	w := d.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	_, err := d.ContainerStop(ctx, id, client.ContainerStopOptions{})
	must(t, err)
	select {
	case r := <-w.Result:
		if r.StatusCode != 4 {
			t.Errorf("%+v", r)
		}
	case err := <-w.Error:
		t.Error(err)
	}
}

// TestTransitionEvents: the events of each transition, in Docker's order and with its attributes. The order was compared with
// dockerd 20.10; it is that of moby since 25, which tells of a container's end when its network is free.
func TestTransitionEvents(t *testing.T) {
	d := startDaemon(t)
	from := time.Now()
	id := d.up("told", nil, "wait")
	d.ready("told")
	ctx := t.Context()
	zero := 0
	for _, err := range []error{
		second(d.ContainerPause(ctx, id, client.ContainerPauseOptions{})),
		second(d.ContainerUnpause(ctx, id, client.ContainerUnpauseOptions{})),
		second(d.ContainerRestart(ctx, id, client.ContainerRestartOptions{Timeout: &zero})),
		second(d.ContainerPause(ctx, id, client.ContainerPauseOptions{})),
		second(d.ContainerStop(ctx, id, client.ContainerStopOptions{Timeout: &zero})),
		second(d.ContainerRename(ctx, id, client.ContainerRenameOptions{NewName: "told2"})),
		second(d.ContainerUpdate(ctx, id, client.ContainerUpdateOptions{Resources: &container.Resources{CPUShares: 100}})),
		second(d.ContainerStart(ctx, id, client.ContainerStartOptions{})),
		second(d.ContainerKill(ctx, id, client.ContainerKillOptions{})),
		second(d.ContainerRemove(ctx, id, client.ContainerRemoveOptions{})),
	} {
		must(t, err)
	}
	stream := d.Events(ctx, client.EventsListOptions{Since: from.Format(time.RFC3339Nano), Until: time.Now().Format(time.RFC3339Nano)})
	var got []string
	for open := true; open; {
		select {
		case e := <-stream.Messages:
			got = append(got, shortEvent(e, id)...)
		case <-stream.Err:
			open = false
		}
	}
	want := []string{
		"create", "network connect", "start", "pause", "unpause",
		"kill 15", "kill 9", "network disconnect", "die 137", "stop", "network connect", "start", "restart",
		"pause", "kill 15", "unpause", "kill 9", "network disconnect", "die 137", "stop",
		"rename /told", "update", "network connect", "start", "kill 9", "network disconnect", "die 137", "destroy",
	}
	// A stop signal that is heard in time leaves the second one out, and decides about the exit code.
	drop := func(s []string) []string {
		return slices.DeleteFunc(slices.Clone(s), func(e string) bool { return e == "kill 9" || strings.HasPrefix(e, "die ") })
	}
	if !slices.Equal(drop(got), drop(want)) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func second[T any](_ T, err error) error { return err }

// shortEvent is an event about a container, or its network, in few words.
func shortEvent(e events.Message, id string) []string {
	text := string(e.Action)
	switch {
	case e.Type == events.NetworkEventType && e.Actor.Attributes["container"] == id:
		return []string{"network " + text}
	case e.Type != events.ContainerEventType || e.Actor.ID != id:
		return nil
	}
	for _, attribute := range []string{"signal", "exitCode", "oldName"} {
		if v, ok := e.Actor.Attributes[attribute]; ok {
			text += " " + v
		}
	}
	return []string{text}
}
