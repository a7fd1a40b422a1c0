package vhostvsock

import (
	"context"
	"net"
)

type device struct{}

func newDevice(Options) (*device, error) { return nil, ErrUnsupported }

func (d *device) run(context.Context) error { return ErrUnsupported }

func (d *device) dial(context.Context, uint32) (net.Conn, error) { return nil, ErrUnsupported }

func (d *device) close() error { return ErrUnsupported }
