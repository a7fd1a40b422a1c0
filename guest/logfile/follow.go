package logfile

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

const (
	// gather is how long a follower of a busy log lets lines come together before it looks again, and busy after how
	// many looks in a row a log is one. A line now and then is seen at once.
	gather = 5 * time.Millisecond
	busy   = 16
)

// Follow delivers what there is and then what comes, until done is closed, which says that nothing more will be
// written, Options.Until has passed, or ctx ends, whose error it returns. A log that does not exist yet is waited for.
// A follower that is slow holds nothing in memory: it reads on where it stands, and misses lines only when their files
// were removed meanwhile.
func (r *Reader) Follow(ctx context.Context, done <-chan struct{}) error {
	w, err := newWatch(r.path) // before the first look, so that no change falls in between
	if err != nil {
		return err
	}
	defer w.close()
	defer w.wakeOn(ctx, done)()
	looks, last := 0, time.Now()
	for {
		complete := isDone(done)
		if err := r.look(ctx, complete); err != nil || complete {
			return ignoreStop(err)
		}
		if !r.o.Until.IsZero() && !time.Now().Before(r.o.Until) {
			return nil
		}
		if isDone(done) {
			continue
		}
		if r.o.Idle != nil {
			if err := r.o.Idle(); err != nil {
				return err
			}
		}
		if err := w.wait(r.o.Until); err != nil {
			return err
		}
		if looks++; time.Since(last) > gather {
			looks = 0
		}
		if looks > busy {
			w.sleep(gather)
		}
		last = time.Now()
	}
}

// look delivers what there is now.
func (r *Reader) look(ctx context.Context, complete bool) error {
	if r.now == nil {
		err := r.begin(ctx)
		if errors.Is(err, fs.ErrNotExist) {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return r.catchUp(ctx, nil, complete)
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
