// Package acceptance runs the real CLI against real engines: directly on this Linux and in the VM, with the same
// tables and equal results. It holds tests only. It needs root, the binaries (`make build`), the VM image
// (`make image`) and the test images (`scripts/images`); `make test` makes them all.
package acceptance
