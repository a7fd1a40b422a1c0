package network

import (
	"context"
	"io"
)

// Publisher asks the host to listen for published ports, over the stream of api.PublishPath.
type Publisher struct{}

// Serve speaks over conn, the upgraded stream, until it ends or ctx does; it closes conn. All ports published so far
// are asked for again, so the host's daemon may restart. A second stream replaces the first.
func (p *Publisher) Serve(ctx context.Context, conn io.ReadWriteCloser) error { return errNotYet }
