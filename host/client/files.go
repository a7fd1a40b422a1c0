package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/moby/moby/api/types/container"
)

// pathStat reads what the engine tells of a path in a header.
func pathStat(resp *http.Response) (st container.PathStat, err error) {
	data, err := base64.StdEncoding.DecodeString(resp.Header.Get("X-Docker-Container-Path-Stat"))
	if err == nil {
		err = json.Unmarshal(data, &st)
	}
	if err != nil {
		return st, fmt.Errorf("decode what the engine tells of the path: %w", err)
	}
	return st, nil
}

// ContainerStatPath looks at a path in a container.
func (c *Client) ContainerStatPath(ctx context.Context, id, path string) (container.PathStat, error) {
	resp, err := c.do(ctx, request{method: http.MethodHead, path: containerPath(id, "/archive"), query: url.Values{"path": {path}}})
	if err != nil {
		return container.PathStat{}, err
	}
	defer drain(resp)
	return pathStat(resp)
}

// CopyFromContainer returns a path in a container as a tar archive, which the caller closes, and what the path is.
func (c *Client) CopyFromContainer(ctx context.Context, id, path string) (io.ReadCloser, container.PathStat, error) {
	resp, err := c.do(ctx, request{method: http.MethodGet, path: containerPath(id, "/archive"), query: url.Values{"path": {path}}})
	if err != nil {
		return nil, container.PathStat{}, err
	}
	st, err := pathStat(resp)
	if err != nil {
		_ = resp.Body.Close()
		return nil, st, err
	}
	return resp.Body, st, nil
}

// CopyToContainer unpacks a tar archive in a folder of a container. A folder does not replace a file nor a file a folder. With
// own, what is unpacked belongs to the container's user.
func (c *Client) CopyToContainer(ctx context.Context, id, path string, archive io.Reader, own bool) error {
	q := url.Values{"path": {path}, "noOverwriteDirNonDir": {"true"}}
	setBool(q, "copyUIDGID", own)
	return c.plain(ctx, request{method: http.MethodPut, path: containerPath(id, "/archive"), query: q, raw: archive,
		header: http.Header{"Content-Type": {"application/x-tar"}}})
}

// ContainerDiff lists what is different in a container's files from its image.
func (c *Client) ContainerDiff(ctx context.Context, id string) ([]container.FilesystemChange, error) {
	return call[[]container.FilesystemChange](ctx, c, request{method: http.MethodGet, path: containerPath(id, "/changes")})
}

// ContainerExport returns a container's root file system as a tar archive, which the caller closes.
func (c *Client) ContainerExport(ctx context.Context, id string) (io.ReadCloser, error) {
	return c.stream(ctx, request{method: http.MethodGet, path: containerPath(id, "/export")})
}

// CommitOptions are those of commit.
type CommitOptions struct {
	Repository, Tag string
	Comment, Author string
	Changes         []string // Dockerfile instructions
	NoPause         bool
}

// ContainerCommit makes an image of a container and returns its ID.
func (c *Client) ContainerCommit(ctx context.Context, id string, o CommitOptions) (string, error) {
	q := url.Values{"container": {id}}
	setIf(q, "repo", o.Repository)
	setIf(q, "tag", o.Tag)
	setIf(q, "comment", o.Comment)
	setIf(q, "author", o.Author)
	for _, change := range o.Changes {
		q.Add("changes", change)
	}
	if o.NoPause {
		q.Set("pause", "0")
	}
	r, err := call[container.CommitResponse](ctx, c, request{method: http.MethodPost, path: "/commit", query: q})
	return r.ID, err
}
