package image

import (
	"context"
	"io"
	"log/slog"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/image"

	"naru/guest/engine/event"
)

// Options opens a Store.
type Options struct {
	Root string // folder that holds content/, snapshots/ and meta.db
	// HelloPath is the program that the image `hello` is made from; "" is naru-hello beside the running executable.
	HelloPath string
	Events    *event.Bus   // nil for none
	Log       *slog.Logger // nil for none
	// InUse tells which containers were made from an image. It is called without any lock of the Store's held. nil: none.
	InUse func(imageID string) []Use
}

// Store holds the images of one engine. Safe for concurrent use.
type Store struct{}

// Open opens the store in o.Root, making it when it is new, and drops what an interrupted operation left behind.
func Open(ctx context.Context, o Options) (*Store, error) { return nil, errdefs.ErrNotImplemented }

// Close waits for the garbage collector and closes the databases.
func (s *Store) Close() error { return nil }

// Resolve finds an image by name[:tag], name@digest, ID or unique prefix of an ID. Not found is
// errdefs.ErrNotFound with "No such image: x:latest".
func (s *Store) Resolve(ctx context.Context, ref string) (*Image, error) {
	return nil, errdefs.ErrNotImplemented
}

// Layers returns the overlay lower directories of an image, topmost first. They stay valid while the image exists
// or Options.InUse names a container of it. Cached: after the first call for an image it reads memory only.
func (s *Store) Layers(ctx context.Context, imageID string) ([]string, error) {
	return nil, errdefs.ErrNotImplemented
}

// Released tells the store that a container of the image is gone, so that an image which was deleted by force while
// it was in use can go too. Cheap and never blocking.
func (s *Store) Released(imageID string) {}

// Pull fetches and unpacks an image, and names it. An error before the first Progress call carries the class for an
// HTTP status.
func (s *Store) Pull(ctx context.Context, o PullOptions) (*Image, error) {
	return nil, errdefs.ErrNotImplemented
}

// List returns all images that match, newest first.
func (s *Store) List(ctx context.Context, o ListOptions) ([]image.Summary, error) {
	return nil, errdefs.ErrNotImplemented
}

// Inspect describes one image.
func (s *Store) Inspect(ctx context.Context, ref string) (*image.InspectResponse, error) {
	return nil, errdefs.ErrNotImplemented
}

// History tells how an image was made, newest step first.
func (s *Store) History(ctx context.Context, ref string) ([]image.HistoryResponseItem, error) {
	return nil, errdefs.ErrNotImplemented
}

// Tag gives an image another name: repo, and tag ("latest" when empty).
func (s *Store) Tag(ctx context.Context, ref, repo, tag string) error {
	return errdefs.ErrNotImplemented
}

// Delete removes a name, and the image with its last name.
func (s *Store) Delete(ctx context.Context, ref string, o DeleteOptions) ([]image.DeleteResponse, error) {
	return nil, errdefs.ErrNotImplemented
}

// Prune removes images no container uses: those without a name, or all.
func (s *Store) Prune(ctx context.Context, all bool) (*image.PruneReport, error) {
	return nil, errdefs.ErrNotImplemented
}

// Load reads images from an archive as `docker save` or OCI tools write it; plain, gzip, zstd or bzip2.
func (s *Store) Load(ctx context.Context, r io.Reader, progress Progress) ([]*Image, error) {
	return nil, errdefs.ErrNotImplemented
}

// Import makes an image with one layer from a file system archive; plain, gzip, zstd or bzip2.
func (s *Store) Import(ctx context.Context, r io.Reader, o ImportOptions) (*Image, error) {
	return nil, errdefs.ErrNotImplemented
}
