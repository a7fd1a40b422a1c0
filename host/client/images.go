package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/moby/moby/api/types/image"
)

// imagePath keeps the slashes of a name: the engine's routes take them as they are.
func imagePath(name, what string) string {
	return "/images/" + (&url.URL{Path: name}).EscapedPath() + what
}

// ImagePull begins to pull and returns the stream of progress messages, which the caller closes. tag may be a digest.
// auth is the value of X-Registry-Auth, empty for none.
func (c *Client) ImagePull(ctx context.Context, repository, tag, platform, auth string) (io.ReadCloser, error) {
	q := url.Values{"fromImage": {repository}}
	setIf(q, "tag", tag)
	setIf(q, "platform", platform)
	h := http.Header{}
	if auth != "" {
		h.Set("X-Registry-Auth", auth)
	}
	return c.stream(ctx, request{method: http.MethodPost, path: "/images/create", query: q, header: h})
}

// ImagePush begins to push and returns the stream of progress messages, which the caller closes. Without a tag all tags
// of the repository go. auth is the value of X-Registry-Auth, empty for none.
func (c *Client) ImagePush(ctx context.Context, repository, tag, platform, auth string) (io.ReadCloser, error) {
	q := url.Values{}
	setIf(q, "tag", tag)
	setPlatforms(q, "platform", platform)
	h := http.Header{}
	if auth != "" {
		h.Set("X-Registry-Auth", auth)
	}
	return c.stream(ctx, request{method: http.MethodPost, path: imagePath(repository, "/push"), query: q, header: h})
}

// stream sends a request and returns the body of its answer.
func (c *Client) stream(ctx context.Context, r request) (io.ReadCloser, error) {
	resp, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// ImageImport makes an image of a root file system: an archive read from in, or from the URL source.
func (c *Client) ImageImport(ctx context.Context, source string, in io.Reader, repository, tag, message, platform string, changes []string) (io.ReadCloser, error) {
	q := url.Values{"fromSrc": {source}}
	setIf(q, "repo", repository)
	setIf(q, "tag", tag)
	setIf(q, "message", message)
	setIf(q, "platform", platform)
	for _, change := range changes {
		q.Add("changes", change)
	}
	return c.stream(ctx, request{method: http.MethodPost, path: "/images/create", query: q, raw: in})
}

// ImageLoad reads an archive of images and returns the stream of messages.
func (c *Client) ImageLoad(ctx context.Context, in io.Reader, quiet bool, platforms []string) (io.ReadCloser, error) {
	q := url.Values{"quiet": {"0"}}
	if quiet {
		q.Set("quiet", "1")
	}
	setPlatforms(q, "platform", platforms...)
	return c.stream(ctx, request{method: http.MethodPost, path: "/images/load", query: q, raw: in,
		header: http.Header{"Content-Type": {"application/x-tar"}}})
}

// ImageSave returns an archive of images, which the caller closes.
func (c *Client) ImageSave(ctx context.Context, names, platforms []string) (io.ReadCloser, error) {
	q := url.Values{"names": names}
	setPlatforms(q, "platform", platforms...)
	return c.stream(ctx, request{method: http.MethodGet, path: "/images/get", query: q})
}

// ImageList lists images. Dangling ones are among them; all adds intermediate ones.
func (c *Client) ImageList(ctx context.Context, all bool, f Filters) ([]image.Summary, error) {
	q := url.Values{}
	setBool(q, "all", all)
	f.set(q)
	return call[[]image.Summary](ctx, c, request{method: http.MethodGet, path: "/images/json", query: q})
}

// ImageInspectRaw tells all about an image as the engine wrote it. platform ("linux/arm64") may be empty.
func (c *Client) ImageInspectRaw(ctx context.Context, name, platform string) ([]byte, error) {
	q := url.Values{}
	setPlatforms(q, "platform", platform)
	return c.rawGet(ctx, imagePath(name, "/json"), q)
}

// ImageHistory tells the steps an image was made by, the newest first. platform ("linux/arm64") may be empty.
func (c *Client) ImageHistory(ctx context.Context, name, platform string) ([]image.HistoryResponseItem, error) {
	q := url.Values{}
	setPlatforms(q, "platform", platform)
	return call[[]image.HistoryResponseItem](ctx, c, request{method: http.MethodGet, path: imagePath(name, "/history"), query: q})
}

// ImageTag gives an image one more name.
func (c *Client) ImageTag(ctx context.Context, source, repository, tag string) error {
	q := url.Values{"repo": {repository}}
	setIf(q, "tag", tag)
	return c.plain(ctx, request{method: http.MethodPost, path: imagePath(source, "/tag"), query: q})
}

// ImageRemove removes a name of an image, and with the last one the image.
func (c *Client) ImageRemove(ctx context.Context, name string, force, noPrune bool, platforms []string) ([]image.DeleteResponse, error) {
	q := url.Values{}
	setBool(q, "force", force)
	setBool(q, "noprune", noPrune)
	setPlatforms(q, "platforms", platforms...)
	return call[[]image.DeleteResponse](ctx, c, request{method: http.MethodDelete, path: imagePath(name, ""), query: q})
}

// PruneReport is what a prune of images removed.
type PruneReport struct {
	ImagesDeleted  []image.DeleteResponse
	SpaceReclaimed uint64 // bytes
}

// ImagesPrune removes images that nobody uses.
func (c *Client) ImagesPrune(ctx context.Context, f Filters) (PruneReport, error) {
	q := url.Values{}
	f.set(q)
	return call[PruneReport](ctx, c, request{method: http.MethodPost, path: "/images/prune", query: q})
}
