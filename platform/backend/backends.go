//go:build !(darwin && cgo)

package backend

import (
	"log/slog"

	"naru/platform"
	"naru/platform/qemu"
)

// all are the backends of this program: QEMU runs everywhere, and can do without hardware.
func all(log *slog.Logger) []platform.Backend {
	return []platform.Backend{&qemu.Backend{Log: log}}
}
