// Package vz runs a machine under Apple's Virtualization framework: macOS 13 and newer, Intel and Apple silicon, for
// guests of the host's own architecture. It needs cgo and the entitlement com.apple.security.virtualization, which
// scripts/macos-sign gives to naru-machine; a build without cgo has no such backend, and QEMU takes its place.
//
// A start is two steps, so that all decisions can be looked at on any OS:
//
//	platform.Machine ─▶ configure: a config, plain data held by golden files ─▶ build: the framework's objects
//
// What the framework does otherwise than QEMU is made up for here:
//
//   - its network card ends in a datagram socket, one frame each: bridge copies to and from the caller's stream;
//   - it starts a guest that resets anew: the console's watcher ends the machine at a kernel panic instead;
//   - a stream to the guest is a unix socket inside of a type that hides its half-close: unwrap takes it out;
//   - the machine runs in a service process of the system's, which dies with ours: usage finds it by its name.
//
// Disks are opened with caching "cached" and synchronisation "full": with "automatic" guests have lost data (Lima,
// UTM and Podman say so in their trackers), and a flush that the guest was promised must reach the drive.
//
// It is type-checked against the real vz package here (scripts/lint), and has not yet run on a Mac.
package vz
