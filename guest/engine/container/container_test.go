package container

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"naru/guest/keeper/keeperapi"
)

func TestTransitionsRefuseWrongStates(t *testing.T) {
	s := state{Status: container.StateCreated}
	if err := s.canStart(); err != nil {
		t.Fatal(err)
	}
	if err := s.pause("x"); !errdefs.IsConflict(err) {
		t.Errorf("pause of what does not run: %v", err)
	}
	s.start(7, time.Now())
	if err := s.canStart(); !errdefs.IsNotModified(err) {
		t.Errorf("start of what runs: %v", err)
	}
	if err := s.remove(false); !errdefs.IsConflict(err) {
		t.Errorf("removal of what runs: %v", err)
	}
	if err := s.giveUp(); err == nil {
		t.Error("giving up a back-off that is not")
	}
	testPaused(t, &s)
	s.end(1, time.Now(), true)
	if !s.alive() || s.running() || s.Paused || s.RestartCount != 1 || s.Pid != 0 {
		t.Errorf("restarting: %+v", s)
	}
	if err := s.canStart(); !errdefs.IsNotModified(err) {
		t.Errorf("start of what waits to be restarted: %v", err)
	}
	if err := s.giveUp(); err != nil || s.alive() {
		t.Errorf("gave up: %v %+v", err, s)
	}
	if err := s.remove(false); err != nil {
		t.Fatal(err)
	}
	if err := s.canStart(); !errdefs.IsConflict(err) {
		t.Errorf("start of what is being removed: %v", err)
	}
	if err := s.remove(false); !errors.Is(err, errRemoving) {
		t.Errorf("second removal: %v", err)
	}
	s.failRemove(errors.New("full"))
	if err := s.canStart(); !errdefs.IsConflict(err) {
		t.Errorf("start of what is dead: %v", err)
	}
	if err := s.remove(false); err != nil {
		t.Errorf("removal of what is dead: %v", err)
	}
}

// testPaused pauses what runs.
func testPaused(t *testing.T, s *state) {
	t.Helper()
	if err := s.canUnpause("x"); !errdefs.IsInternal(err) {
		t.Errorf("unpause of what is not paused: %v", err)
	}
	if err := s.pause("x"); err != nil || s.shown() != container.StatePaused || !s.running() || !s.alive() {
		t.Errorf("paused: %v %+v", err, s)
	}
	for what, err := range map[string]error{
		"pause": s.pause("x"), "start": s.canStart(), "exec": s.canExec("x", "x"), "attach": s.canAttach("x"), "removal": s.remove(false),
	} {
		if !errdefs.IsConflict(err) {
			t.Errorf("%s of what is paused: %v", what, err)
		}
	}
}

func TestBackOff(t *testing.T) {
	var s state
	var waits []time.Duration
	for range 12 {
		s.backOff(time.Second)
		waits = append(waits, s.Backoff)
	}
	if waits[0] != 100*time.Millisecond || waits[9] != 51200*time.Millisecond || waits[10] != time.Minute || waits[11] != time.Minute {
		t.Errorf("waits: %v", waits)
	}
	if s.backOff(10 * time.Second); s.Backoff != firstBackoff {
		t.Errorf("after a long run: %v", s.Backoff)
	}
}

func TestRestartPolicies(t *testing.T) {
	for _, c := range []struct {
		policy  container.RestartPolicy
		s       state
		code    int
		restart bool
	}{
		{container.RestartPolicy{Name: "no"}, state{}, 1, false},
		{container.RestartPolicy{Name: "always"}, state{}, 0, true},
		{container.RestartPolicy{Name: "always"}, state{StopAsked: true}, 0, false},
		{container.RestartPolicy{Name: "unless-stopped"}, state{}, 0, true},
		{container.RestartPolicy{Name: "on-failure"}, state{RestartCount: 99}, 1, true},
		{container.RestartPolicy{Name: "on-failure"}, state{}, 0, false},
		{container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 2}, state{RestartCount: 1}, 1, true},
		{container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 2}, state{RestartCount: 2}, 1, false},
	} {
		if got := c.s.shouldRestart(c.policy, c.code); got != c.restart {
			t.Errorf("%+v %+v code %d: %v", c.policy, c.s, c.code, got)
		}
	}
	ran := state{Started: time.Now(), ManuallyStopped: true}
	if !ran.atEngineStart(container.RestartPolicy{Name: "always"}) || ran.atEngineStart(container.RestartPolicy{Name: "unless-stopped"}) {
		t.Error("at the engine's start")
	}
}

func TestDetachKeys(t *testing.T) {
	for _, c := range []struct {
		in, out  string
		detached bool
	}{
		{"plain", "plain", false},
		{"a\x10\x11b", "a", true},
		{"a\x10b\x10\x10\x11", "a\x10b\x10", true},
		{"a\x10", "a\x10", false}, // half of the keys at the end of input
	} {
		for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
			keys, err := detachKeys("")
			if err != nil {
				t.Fatal(err)
			}
			out, err := io.ReadAll(&detacher{r: r, keys: keys})
			if string(out) != c.out || errors.Is(err, errDetached) != c.detached {
				t.Errorf("%q: %q %v", c.in, out, err)
			}
		}
	}
	if keys, err := detachKeys("ctrl-a,x,ctrl-@"); err != nil || !bytes.Equal(keys, []byte{1, 'x', 0}) {
		t.Errorf("%v %v", keys, err)
	}
	if _, err := detachKeys("ctrl-1"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("ctrl-1: %v", err)
	}
}

func TestExplain(t *testing.T) {
	for said, want := range map[string]struct {
		arg, text string
		code      int
	}{
		"executable file `x` not found in $PATH: No such file or directory":        {"x", `exec: "x": executable file not found in $PATH`, 127},
		"executable file `/x` not found: No such file or directory":                {"/x", `exec: "/x": stat /x: no such file or directory`, 127},
		"the path `/x` exists but it is not executable: Operation not permitted":   {"/x", `exec: "/x": permission denied`, 126},
		"the path `/x` is not a regular file: Operation not permitted":             {"/x", `exec: "/x": is a directory: permission denied`, 126},
		"warning\nmount `/a` to `/b`: No such file or directory\n":                 {"x", "mount `/a` to `/b`: No such file or directory", 128},
		"write `/sys/fs/cgroup/memory/x/memory.limit_in_bytes`: Permission denied": {"x", "Permission denied", 128},
		"open `/proc/sys/kernel/x`: No such file or directory":                     {"x", "No such file", 128},
	} {
		code, err := explainStart(&keeperapi.Error{Class: keeperapi.ClassRuntime, Message: "exit status 1", Stderr: said}, want.arg)
		if code != want.code || !strings.Contains(err.Error(), want.text) || !strings.HasPrefix(err.Error(), "failed to create task for container: ") {
			t.Errorf("%q: %d %v", said, code, err)
		}
	}
}

func TestSignals(t *testing.T) {
	for name, want := range map[string]int{"9": 9, "KILL": 9, "sigterm": 15, "SIGRTMIN": 34, "RTMIN+3": 37, "RTMAX-1": 63} {
		if got, err := parseSignal(name); err != nil || got != want {
			t.Errorf("%s: %d %v", name, got, err)
		}
	}
	for _, name := range []string{"", "0", "65", "NOPE", "RTMIN+99", "-1"} {
		if _, err := parseSignal(name); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestParseTime(t *testing.T) {
	now := time.Unix(1000, 0)
	for text, want := range map[string]time.Time{
		"": {}, "0": {}, "12.5": time.Unix(12, 500_000_000), "12.000000001": time.Unix(12, 1), "10s": time.Unix(990, 0),
		"1970-01-01T00:00:01.5Z": time.Unix(1, 500_000_000),
	} {
		if got, err := ParseTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	if _, err := ParseTime("yesterday", now); !errdefs.IsInvalidArgument(err) {
		t.Errorf("yesterday: %v", err)
	}
}

func TestMergeImage(t *testing.T) {
	img := &dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{
		Entrypoint: []string{"/e"}, Cmd: []string{"c"}, Env: []string{"A=1", "B=2"}, Labels: map[string]string{"l": "img", "m": "img"},
		ExposedPorts: map[string]struct{}{"80/tcp": {}}, WorkingDir: "/w",
	}}
	for _, c := range []struct{ entrypoint, cmd, want []string }{
		{nil, nil, []string{"/e", "c"}},
		{nil, []string{"x"}, []string{"/e", "x"}},
		{[]string{"/f"}, nil, []string{"/f"}},
		{[]string{""}, []string{"x"}, []string{"x"}},
	} {
		cfg := &container.Config{Entrypoint: c.entrypoint, Cmd: c.cmd, Env: []string{"A=mine"}, Labels: map[string]string{"l": "mine"}}
		mergeImage(cfg, img)
		if got := slices.Concat(cfg.Entrypoint, cfg.Cmd); !slices.Equal(got, c.want) {
			t.Errorf("%v %v: %v, want %v", c.entrypoint, c.cmd, got, c.want)
		}
		if !slices.Equal(cfg.Env, []string{"A=mine", "B=2"}) || cfg.Labels["l"] != "mine" || cfg.Labels["m"] != "img" || cfg.WorkingDir != "/w" || len(cfg.ExposedPorts) != 1 {
			t.Errorf("merged: %+v", cfg)
		}
	}
	if img.Labels["l"] != "img" {
		t.Error("the image was changed")
	}
}
