package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/moby/moby/api/types/volume"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"naru/guest/api"
)

// VolumeCreate makes a volume, or returns the one of that name.
func (c *Client) VolumeCreate(ctx context.Context, req volume.CreateRequest) (volume.Volume, error) {
	return call[volume.Volume](ctx, c, request{method: http.MethodPost, path: "/volumes/create", json: req})
}

// VolumeList lists volumes.
func (c *Client) VolumeList(ctx context.Context, f Filters) (volume.ListResponse, error) {
	q := url.Values{}
	f.set(q)
	return call[volume.ListResponse](ctx, c, request{method: http.MethodGet, path: "/volumes", query: q})
}

// VolumeInspectRaw tells all about a volume as the engine wrote it.
func (c *Client) VolumeInspectRaw(ctx context.Context, name string) ([]byte, error) {
	return c.rawGet(ctx, "/volumes/"+url.PathEscape(name), nil)
}

// VolumeRemove removes a volume that no container uses.
func (c *Client) VolumeRemove(ctx context.Context, name string, force bool) error {
	q := url.Values{}
	setBool(q, "force", force)
	return c.plain(ctx, request{method: http.MethodDelete, path: "/volumes/" + url.PathEscape(name), query: q})
}

// VolumeExport returns a volume's files as tar, which the caller closes; compression is "", "gzip" or "zstd". Only naru has it.
func (c *Client) VolumeExport(ctx context.Context, name, compression string) (io.ReadCloser, error) {
	q := url.Values{}
	setIf(q, "compression", compression)
	return c.stream(ctx, request{method: http.MethodGet, path: volumeArchive(name), query: q, bare: true})
}

// VolumeImport unpacks an archive into a volume, which is made when it is missing. Only naru has it.
func (c *Client) VolumeImport(ctx context.Context, name string, in io.Reader, merge bool) error {
	q := url.Values{}
	setBool(q, "merge", merge)
	return c.plain(ctx, request{method: http.MethodPut, path: volumeArchive(name), query: q, raw: in, bare: true,
		header: http.Header{"Content-Type": {"application/x-tar"}}})
}

func volumeArchive(name string) string {
	return api.VolumesPath + "/" + url.PathEscape(name) + "/archive"
}

// VolumesPrune removes volumes that no container uses.
func (c *Client) VolumesPrune(ctx context.Context, f Filters) (volume.PruneReport, error) {
	q := url.Values{}
	f.set(q)
	return call[volume.PruneReport](ctx, c, request{method: http.MethodPost, path: "/volumes/prune", query: q})
}

// setPlatforms sets a parameter to the platforms of an image request ("linux/arm64") in the API's form, one JSON document each.
func setPlatforms(q url.Values, name string, platforms ...string) {
	for _, p := range platforms {
		if p == "" {
			continue
		}
		parts := strings.SplitN(p, "/", 3)
		var spec ocispec.Platform
		for i, field := range []*string{&spec.OS, &spec.Architecture, &spec.Variant} {
			if i < len(parts) {
				*field = parts[i]
			}
		}
		data, _ := json.Marshal(spec) // strings can be encoded
		q.Add(name, string(data))
	}
}
