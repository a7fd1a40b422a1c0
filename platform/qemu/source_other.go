//go:build !linux

package qemu

import "os"

func openSource(path string, _ bool) (*os.File, error) { return os.Open(path) }
