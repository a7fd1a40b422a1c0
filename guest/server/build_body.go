package server

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// buildBody is the body of a build's request. The builder reads it in a goroutine of its own, which may be at it still when
// the build has failed elsewhere; but once the handler has returned the connection is the HTTP server's again, and a read
// of the body would end the engine with a panic. So Close returns only when nobody reads any more, and nobody can after it.
type buildBody struct {
	body io.Reader
	conn *http.ResponseController

	mu   sync.Mutex // held while the body is read
	over bool       // all was read, or it was closed; guarded by mu

	once sync.Once // of Close
}

func (b *buildBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return 0, io.EOF
	}
	n, err := b.body.Read(p)
	b.over = err != nil
	return n, err
}

// Close ends a read that waits for the client, by a deadline of the connection, which cannot be used again then.
func (b *buildBody) Close() error {
	b.once.Do(func() {
		if !b.mu.TryLock() {
			_ = b.conn.SetReadDeadline(time.Unix(1, 0)) // a read is under way; where there are no deadlines it ends with the client
			b.mu.Lock()
		}
		defer b.mu.Unlock()
		b.over = true
	})
	return nil
}
