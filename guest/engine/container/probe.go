package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
)

// probePrefix marks probes at the keeper: the next engine ends those of a former one, which nobody waits for any more.
const probePrefix = "probe-"

// probeStart is how long the start of a probe may take; it does not count towards the check's timeout.
const probeStart = 30 * time.Second

// maxProbeOutput is how much of a probe's output is kept, in bytes.
const maxProbeOutput = 4096

// probe runs the check once. The Exec is nil when there is none; it runs on for a moment when it had to be killed. There
// is no result when the container is just being paused, or has ended: it says nothing about its health.
func (m *Manager) probe(ctx context.Context, c *Container, h *healthCheck) (*Exec, *container.HealthcheckResult) {
	r := &container.HealthcheckResult{}
	started := m.probes.enter(ctx)
	defer started()
	r.Start = time.Now()
	x, err := m.startProbe(ctx, c, h)
	started()
	if err == nil {
		r.ExitCode, r.Output, err = m.endProbe(ctx, x, h.timeout)
	}
	if errdefs.IsConflict(err) {
		return x, nil
	}
	if err != nil {
		m.Log.Debug("health check", "id", c.ID, "error", err)
		r.ExitCode, r.Output = -1, err.Error()
	}
	r.End = time.Now()
	return x, r
}

func (m *Manager) startProbe(ctx context.Context, c *Container, h *healthCheck) (*Exec, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(h.cmd) == 0 {
		return nil, fmt.Errorf("healthcheck for container %s has no command", c.ID)
	}
	x := newExec(c, container.ExecCreateRequest{Cmd: h.cmd, AttachStdout: true, AttachStderr: true})
	x.probe, x.started = true, true
	if err := m.register(x); err != nil {
		return nil, err
	}
	stream, err := m.execRun(ctx, x, &keeperapi.Attach{Stdout: true, Stderr: true}, probeStart)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("timed out starting health check for container %s", c.ID)
	}
	if err != nil {
		return x, err
	}
	x.output = &limitedBuffer{over: make(chan struct{})}
	m.background.run(func() { // until the keeper ends the stream, soon after the process has ended
		defer close(x.output.over)
		defer stream.Close()
		_, _ = stdcopy.StdCopy(x.output, x.output, stream)
	})
	return x, nil
}

// endProbe waits for the end of a probe, or kills it when its time is over or ctx is.
func (m *Manager) endProbe(ctx context.Context, x *Exec, timeout time.Duration) (code int, output string, err error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for _, end := range []<-chan struct{}{x.output.over, x.done} {
		select {
		case <-end:
		case <-timer.C:
			m.killProbe(x)
			text := fmt.Sprintf("Health check exceeded timeout (%v)", timeout)
			if said := x.output.String(); said != "" {
				text += ": " + said
			}
			return -1, text, nil
		case <-ctx.Done():
			m.killProbe(x)
			return 0, "", ctx.Err()
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return *x.exitCode, x.output.String(), nil
}

func (m *Manager) killProbe(x *Exec) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if err := m.Keeper.Signal(ctx, x.keeperID(), int(unix.SIGKILL)); err != nil && !keeperapi.IsNotFound(err) {
		m.Log.Warn("kill health check", "id", x.c.ID, "error", err)
	}
}

// probeGate bounds how many probes are started at once: a start costs a few milliseconds of CPU, and hundreds of them
// at the same moment would keep everything else waiting. Probes that run are not counted.
type probeGate chan struct{}

// newProbeGate leaves room for starts that wait for the kernel: joining a cgroup takes up to 10 ms without CPU,
// where crun needs 3 to 4 ms of it.
func newProbeGate() probeGate { return make(probeGate, 2+goruntime.NumCPU()) }

// stuckStart is when a start does not count any more: one that hangs, in a container that has just been paused, must
// not keep the others back.
const stuckStart = 2 * time.Second

// enter waits for its turn, or until ctx ends. The function that it returns gives the turn on; it may be called twice.
func (g probeGate) enter(ctx context.Context) (leave func()) {
	select {
	case g <- struct{}{}:
	case <-ctx.Done():
		return func() {}
	}
	give := sync.OnceFunc(func() { <-g })
	late := time.AfterFunc(stuckStart, give)
	return func() {
		late.Stop()
		give()
	}
}

// limitedBuffer keeps the beginning of a probe's output.
type limitedBuffer struct {
	over chan struct{} // closed when nothing more comes

	mu        sync.Mutex // guards all below
	buf       bytes.Buffer
	truncated bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	room := min(maxProbeOutput-b.buf.Len(), len(p))
	b.buf.Write(p[:room])
	b.truncated = b.truncated || room < len(p)
	return len(p), nil
}

// String is what was kept, with "..." behind it when that is not all.
func (b *limitedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.truncated {
		return b.buf.String() + "..."
	}
	return b.buf.String()
}
