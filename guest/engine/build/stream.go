package build

import (
	"context"
	"io"

	"google.golang.org/grpc/metadata"
)

// callStream is the part of a gRPC stream that BuildKit's controller needs when it is called in this process. What the
// controller sends, by either of its ways, goes to send.
type callStream[T any] struct {
	ctx  context.Context
	send func(*T) error
}

func (callStream[T]) SetHeader(metadata.MD) error  { return nil }
func (callStream[T]) SendHeader(metadata.MD) error { return nil }
func (callStream[T]) SetTrailer(metadata.MD)       {}
func (s callStream[T]) Context() context.Context   { return s.ctx }
func (callStream[T]) RecvMsg(any) error            { return io.EOF }
func (s callStream[T]) Send(m *T) error            { return s.send(m) }

func (s callStream[T]) SendMsg(m any) error {
	if m, ok := m.(*T); ok {
		return s.send(m)
	}
	return nil
}
