//go:build !linux

package qemu

import (
	"context"
	"errors"
	"net"
)

func dialKernel(context.Context, uint32, uint32) (net.Conn, error) { return nil, errNoStream }

func memoryOf(int) (resident, shared uint64, err error) { return 0, 0, errors.ErrUnsupported }

func privateOf(int) uint64 { return 0 }

func openFiles(int) (files, limit int) { return 0, 0 }
