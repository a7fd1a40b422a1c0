package image

import (
	"context"
	"sync"
)

// keyLocks lets one goroutine at a time work on a key: two pulls of images that share a layer unpack it once. The
// zero value is ready. It is the unpacker's KeyedLocker.
type keyLocks struct {
	mu   sync.Mutex // guards held
	held map[string]*keyLock
}

type keyLock struct {
	token chan struct{} // holds one element while locked
	users int           // holder and waiters
}

// Lock waits until key is free or ctx ends.
func (k *keyLocks) Lock(ctx context.Context, key string) error {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[string]*keyLock{}
	}
	l := k.held[key]
	if l == nil {
		l = &keyLock{token: make(chan struct{}, 1)}
		k.held[key] = l
	}
	l.users++
	k.mu.Unlock()
	select {
	case l.token <- struct{}{}:
		return nil
	case <-ctx.Done():
		k.leave(key, l)
		return ctx.Err()
	}
}

// Unlock frees key, which must be locked.
func (k *keyLocks) Unlock(key string) {
	k.mu.Lock()
	l := k.held[key]
	k.mu.Unlock()
	<-l.token
	k.leave(key, l)
}

func (k *keyLocks) leave(key string, l *keyLock) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(k.held, key)
	}
}
