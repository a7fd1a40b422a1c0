//go:build !windows

package main

import (
	"log/slog"

	"golang.org/x/sys/unix"
)

// wantedFiles is as many descriptors as virtiofsd asks for.
const wantedFiles = 1000000

// raiseLimits lets this process and its children open as many files as the system allows. virtiofsd holds one open for
// each file that the guest remembers, so a low limit becomes "Too many open files" in a container. Go raises only its
// own limit, and gives children the old one unless a limit was set by hand.
func raiseLimits(log *slog.Logger) {
	var have unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &have); err != nil {
		return
	}
	want := unix.Rlimit{Cur: max(wantedFiles, have.Max), Max: max(wantedFiles, have.Max)}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &want) == nil {
		return
	}
	// Without CAP_SYS_RESOURCE the hard limit stays.
	want = unix.Rlimit{Cur: have.Max, Max: have.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &want); err != nil {
		log.Warn("raise the limit of open files", "error", err)
	}
	if have.Max < wantedFiles {
		log.Info("few files can be open at once: shared folders may show only so many", "limit", uint64(have.Max))
	}
}
