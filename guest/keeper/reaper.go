package keeper

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reaper is the one place that waits for children. What it reaps it hands to whoever asked for that pid.
//
// A container's first process is started by the runtime, outlives it and thereby becomes our child; its pid is known
// only after the runtime has ended. It may have ended by then. So while any start is under way, ends that nobody asked
// for are kept. Forking, reaping and signalling exclude each other by mu: a pid in children or in unclaimed is never
// one that the kernel has given away again.
type reaper struct {
	signals chan os.Signal
	done    chan struct{}

	mu        sync.Mutex // guards all below
	children  map[int]func(end)
	starting  int
	unclaimed map[int]end
}

// end is how a child ended.
type end struct {
	status unix.WaitStatus
	when   time.Time
}

// code is the exit code as shells and Docker tell it, and the signal or 0.
func (e end) code() (code, signal int) {
	if e.status.Signaled() {
		return 128 + int(e.status.Signal()), int(e.status.Signal())
	}
	return e.status.ExitStatus(), 0
}

// startReaper makes this process the parent of orphans and begins to reap.
func startReaper() (*reaper, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become subreaper: %w", err)
	}
	r := &reaper{
		signals:  make(chan os.Signal, 1), // one pending signal stands for all: each wakes up a reaping of everything
		done:     make(chan struct{}),
		children: map[int]func(end){}, unclaimed: map[int]end{},
	}
	signal.Notify(r.signals, unix.SIGCHLD)
	go r.run()
	return r, nil
}

// stop ends the reaping; children that end later stay zombies.
func (r *reaper) stop() {
	signal.Stop(r.signals)
	close(r.signals)
	<-r.done
}

func (r *reaper) run() {
	defer close(r.done)
	r.reapAll()
	for range r.signals {
		r.reapAll()
	}
}

func (r *reaper) reapAll() {
	for {
		tell, e, more := r.reapOne()
		if !more {
			return
		}
		if tell != nil {
			tell(e)
		}
	}
}

func (r *reaper) reapOne() (tell func(end), e end, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := unix.Wait4(-1, &e.status, unix.WNOHANG, nil)
	if err == unix.EINTR {
		return nil, e, true
	}
	if err != nil || pid <= 0 {
		return nil, e, false
	}
	e.when = time.Now()
	tell, known := r.children[pid]
	delete(r.children, pid)
	if !known && r.starting > 0 {
		r.unclaimed[pid] = e
	}
	return tell, e, true
}

// fork starts a program. tell hears its end, on the reaper's goroutine: it must not block.
func (r *reaper) fork(args []string, attr *syscall.ProcAttr, tell func(end)) (pid int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err = syscall.ForkExec(args[0], args, attr)
	if err != nil {
		return 0, &os.PathError{Op: "run", Path: args[0], Err: err}
	}
	r.children[pid] = tell
	return pid, nil
}

// begin is called before a runtime is started, finish when its process was claimed or will not be.
func (r *reaper) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starting++
}

func (r *reaper) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.starting--; r.starting == 0 {
		clear(r.unclaimed)
	}
}

// claim asks for the end of a process that the runtime has left to us. When it has ended already, tell is called
// before claim returns. It is an error when there is no such process.
//
// It need not be a child yet: `crun run --detach` forks, and its first process ends before the second one, which is the
// parent until it ends too.
func (r *reaper) claim(pid int, tell func(end)) error {
	r.mu.Lock()
	e, ended := r.unclaimed[pid]
	delete(r.unclaimed, pid)
	if ended && isChild(pid) {
		ended = false // what ended was an earlier owner of the pid
	}
	if !ended {
		if err := unix.Kill(pid, 0); err != nil {
			r.mu.Unlock()
			return fmt.Errorf("find the runtime's process %d: %w", pid, err)
		}
		r.children[pid] = tell
	}
	r.mu.Unlock()
	if ended {
		tell(e)
	}
	return nil
}

// isChild tells whether pid is a child that was not reaped.
func isChild(pid int) bool {
	return unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == nil
}

// signal sends a signal to a child that was not reaped yet. Reaping is excluded meanwhile, so the pid is certainly
// still that child's; a pidfd would promise no more and cost a descriptor for each process.
func (r *reaper) signal(pid int, sig unix.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ours := r.children[pid]; !ours {
		return unix.ESRCH
	}
	return unix.Kill(pid, sig)
}

// signalGroup sends a signal to the process group that a child leads, as long as that was not reaped.
func (r *reaper) signalGroup(pid int, sig unix.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ours := r.children[pid]; !ours {
		return unix.ESRCH
	}
	return unix.Kill(-pid, sig)
}

// discard kills a process that the runtime has left to us and that nobody wants.
func (r *reaper) discard(pid int) {
	if r.claim(pid, func(end) {}) == nil {
		_ = r.signal(pid, unix.SIGKILL) // it may have ended
	}
}
