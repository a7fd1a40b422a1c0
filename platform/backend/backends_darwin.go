//go:build cgo

package backend

import (
	"log/slog"

	"naru/platform"
	"naru/platform/qemu"
	"naru/platform/vz"
)

// all are the backends of this program, the best first.
func all(log *slog.Logger) []platform.Backend {
	return []platform.Backend{&vz.Backend{Log: log}, &qemu.Backend{Log: log}}
}
