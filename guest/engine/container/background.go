package container

import (
	"context"
	"sync"
)

// background counts goroutines that outlive the call that began them. Unlike a WaitGroup it may be waited for while
// more are begun. The zero value is ready.
type background struct {
	mu   sync.Mutex // guards all below
	n    int
	idle chan struct{} // closed when n falls to 0; nil when nobody waits
}

// run runs f in the background.
func (b *background) run(f func()) {
	b.begin()
	go func() {
		defer b.done()
		f()
	}()
}

// begin counts work that done ends.
func (b *background) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
}

func (b *background) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n--; b.n == 0 && b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
}

// wait returns when nothing runs, or with the error of ctx.
func (b *background) wait(ctx context.Context) error {
	b.mu.Lock()
	if b.n == 0 {
		b.mu.Unlock()
		return nil
	}
	if b.idle == nil {
		b.idle = make(chan struct{})
	}
	idle := b.idle
	b.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
