package keeper

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"naru/guest/keeper/keeperapi"
)

// table holds every process that is kept and every exit that is not forgotten, and tells watchers.
type table struct {
	journal *journal

	mu       sync.Mutex // guards all below
	starting map[string]bool
	awaiting map[string][]*awaiter // of starts that were not asked for yet
	running  map[string]*process
	ended    map[string]keeperapi.Process // Exit is set
	watchers map[*watcher]bool
	changed  *sync.Cond // running lost one
}

func newTable(j *journal, exits []keeperapi.Exit) *table {
	t := &table{
		journal: j, starting: map[string]bool{}, awaiting: map[string][]*awaiter{}, running: map[string]*process{},
		ended: map[string]keeperapi.Process{}, watchers: map[*watcher]bool{},
	}
	t.changed = sync.NewCond(&t.mu)
	for _, e := range exits {
		t.ended[e.ID] = keeperapi.Process{ID: e.ID, Exit: &e}
	}
	return t
}

func notFound(id string) error {
	return &keeperapi.Error{Class: keeperapi.ClassNotFound, Message: "no running process " + id}
}

// reserve takes an ID for a start. An ID whose exit is known but not forgotten may be used again: that exit is
// forgotten now. Those who await the process are the caller's from here on.
func (t *table) reserve(id string) ([]*awaiter, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.starting[id] || t.running[id] != nil {
		return nil, &keeperapi.Error{Class: keeperapi.ClassConflict, Message: "process " + id + " already runs"}
	}
	t.starting[id] = true
	delete(t.ended, id)
	t.journal.forget(id)
	awaiters := t.awaiting[id]
	delete(t.awaiting, id)
	return awaiters, nil
}

// release ends a reservation that came to nothing.
func (t *table) release(id string, awaiters []*awaiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.starting, id)
	for _, w := range awaiters {
		w.started <- nil
	}
}

// awaiter is an attacher that came before its process. started gets the process once, or nil when there will be none.
type awaiter struct {
	a       *attacher
	started chan *process
}

// await lets a be given to the next process of an ID.
func (t *table) await(id string, a *attacher) (*awaiter, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.starting[id] || t.running[id] != nil {
		return nil, &keeperapi.Error{Class: keeperapi.ClassConflict, Message: "process " + id + " already runs"}
	}
	w := &awaiter{a, make(chan *process, 1)}
	t.awaiting[id] = append(t.awaiting[id], w)
	return w, nil
}

// unawait forgets an awaiter whose peer has gone.
func (t *table) unawait(id string, w *awaiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	left := slices.DeleteFunc(t.awaiting[id], func(o *awaiter) bool { return o == w })
	if t.awaiting[id] = left; len(left) == 0 {
		delete(t.awaiting, id)
	}
}

// put makes a reserved ID's process known.
func (t *table) put(p *process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.starting, p.id)
	t.running[p.id] = p
}

// abandon takes a process back that turned out not to be ours to keep.
func (t *table) abandon(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.running, id)
}

// find returns a process that was not recorded as ended.
func (t *table) find(id string) (*process, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.running[id]; p != nil {
		return p, nil
	}
	return nil, notFound(id)
}

// record makes an exit known: first to the disk when it is durable, then to List and all watchers at once, so that
// whoever hears of it can use the ID again.
func (t *table) record(p *process, e keeperapi.Exit, log *slog.Logger) {
	if p.durable {
		if err := t.journal.record(e); err != nil {
			// A full or broken disk. Holding the exit back for ever would be worse than one that a power cut loses.
			log.Error("exit is not durable", "id", e.ID, "error", err)
		}
	}
	info := p.info()
	info.Exit = &e
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.running, e.ID)
	t.ended[e.ID] = info
	for w := range t.watchers {
		w.push(e)
	}
	t.changed.Broadcast()
}

func (t *table) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.ended, id)
	t.journal.forget(id)
}

// list is sorted by ID.
func (t *table) list() []keeperapi.Process {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]keeperapi.Process, 0, len(t.running)+len(t.ended))
	for _, p := range t.running {
		all = append(all, p.info())
	}
	for _, p := range t.ended {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b keeperapi.Process) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// killAll is for the end of the keeper. It returns when all exits are recorded, or after patience.
func (t *table) killAll(patience time.Duration) {
	late := false
	defer time.AfterFunc(patience, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		late = true
		t.changed.Broadcast()
	}).Stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.running {
		_ = p.reaper.signal(p.pid, unix.SIGKILL) // it may just have ended
	}
	for len(t.running) > 0 && !late {
		t.changed.Wait()
	}
}

// watcher is one watch connection: exits wait in it until they are sent.
type watcher struct {
	mu    sync.Mutex // guards queue and ended
	more  *sync.Cond
	queue []keeperapi.Exit
	ended bool
}

func (w *watcher) push(e keeperapi.Exit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, e)
	w.more.Signal()
}

func (w *watcher) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.more.Signal()
}

// next waits for exits; ok is false at the end.
func (w *watcher) next() (exits []keeperapi.Exit, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 && !w.ended {
		w.more.Wait()
	}
	exits, w.queue = w.queue, nil
	return exits, !w.ended
}

// watch sends all unforgotten exits and then each new one to conn until the peer closes it.
func (t *table) watch(conn io.ReadWriter) error {
	w := &watcher{}
	w.more = sync.NewCond(&w.mu)
	t.mu.Lock()
	for _, p := range t.ended {
		w.queue = append(w.queue, *p.Exit)
	}
	slices.SortFunc(w.queue, func(a, b keeperapi.Exit) int { return a.Time.Compare(b.Time) })
	t.watchers[w] = true
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.watchers, w)
	}()
	go func() {
		_, _ = io.Copy(io.Discard, conn) // returns when the peer closes, or when our caller does after a failed write
		w.end()
	}()
	enc := json.NewEncoder(conn)
	for {
		exits, ok := w.next()
		if !ok {
			return nil
		}
		for _, e := range exits {
			if err := enc.Encode(e); err != nil {
				return fmt.Errorf("send exit: %w", err)
			}
		}
	}
}
