// Package image is the engine's image store: containerd's content store, metadata database and overlay snapshotter,
// in this process and without a daemon.
//
// An image's ID is the digest of its config. On disk an image is a record in the metadata database that names the
// one manifest in use (of an index, only the platform asked for is fetched; the index's digest is kept for
// RepoDigests). From the record hang, by garbage collection labels, manifest, config and layers, and from the config
// the chain of unpacked snapshots. What no record and no lease reaches is removed by the collector.
//
// All records are mirrored in memory (index.go): the path of a container's start reads only that.
package image

import (
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is one image. It is shared between callers: never change it.
type Image struct {
	ID          string   // "sha256:<hex of the config's digest>"
	Name        string   // the reference it was resolved by, in familiar form ("debian:12"); "" when by ID
	RepoTags    []string // familiar form, sorted: "debian:12", "localhost:5000/x:latest"
	RepoDigests []string // "debian@sha256:…" of the manifest or index pulled
	Created     time.Time
	Size        int64 // bytes, all layers unpacked
	Author      string
	Comment     string
	Platform    ocispec.Platform
	DiffIDs     []digest.Digest // bottom layer first
	History     []ocispec.History
	Config      dockerspec.DockerOCIImageConfig // Env, Entrypoint, Cmd, WorkingDir, User, Volumes, ExposedPorts, Labels, StopSignal, Healthcheck, Shell
}

// Use is a container that was made from an image.
type Use struct {
	Container string // full ID
	Running   bool
}

// Message is one step of a long operation, for a progress display.
type Message struct {
	ID      string // layer or tag the step is about; "" for the operation as a whole
	Status  string // Docker's words: "Pulling fs layer", "Downloading", …
	Stream  string // instead of Status: a finished line of output
	Current int64  // bytes done, when Status has an amount
	Total   int64  // bytes to do; 0 when unknown
}

// Progress receives Messages. It is called by many goroutines at once and must not block for long.
type Progress func(Message)

// PullOptions says what to pull.
type PullOptions struct {
	Name     string            // name, name:tag or name@digest; a bare name means :latest
	Platform *ocispec.Platform // nil: the host's
	Auth     registry.AuthConfig
	Progress Progress // nil for none. Not called before the image is known to exist at the registry
}

// ListOptions filters List. All that are set must match.
type ListOptions struct {
	All       bool     // accepted as in Docker; there are no intermediate images
	Reference []string // patterns as in path.Match, any of them
	Dangling  *bool
	Labels    []string // "key" or "key=value", all of them
	Before    string   // images older than this one
	Since     string   // images newer than this one
	Until     time.Time
	Shared    bool // fill SharedSize
	Uses      bool // fill Containers
	Manifests bool // fill Manifests
}

// InspectOptions says what of an image to describe.
type InspectOptions struct {
	Platform  *ocispec.Platform // nil: any
	Manifests bool              // fill Manifests
}

// LoadOptions says what to take from an archive.
type LoadOptions struct {
	Platforms []ocispec.Platform // only images of these; none: of an image for several the host's, else what is there
	Progress  Progress           // nil for none
	Quiet     bool               // tell only what was loaded
}

// ImportOptions describes an image made from one file system archive.
type ImportOptions struct {
	Ref      string // name[:tag] of the new image; "" for none
	Message  string
	Changes  []string // Dockerfile instructions: CMD, ENTRYPOINT, ENV, EXPOSE, WORKDIR, USER, LABEL, VOLUME, STOPSIGNAL
	Platform *ocispec.Platform
	Progress Progress
}

// DeleteOptions is how to delete.
type DeleteOptions struct {
	Force    bool
	NoPrune  bool
	Platform *ocispec.Platform // the image must be of this one; nil: any
}

// PruneOptions choose the images to prune. All that are set must match.
type PruneOptions struct {
	All           bool     // also those with a tag
	Labels        []string // "key" or "key=value", all of them
	WithoutLabels []string // images with any of these stay
	Until         time.Time
}
