package image

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// maxTags bounds the pages of tags that a registry may have of one repository.
const maxTags = 100

// PullAll pulls all tags of a repository, in their order by name. o.Name has neither tag nor digest. The first error ends it; what
// came before stays.
func (s *Store) PullAll(ctx context.Context, o PullOptions) error {
	named, err := reference.ParseNormalizedNamed(o.Name)
	if err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	tags, err := s.tags(ctx, named, o)
	if err != nil {
		return registryError(ctx, "pull", named, err)
	}
	for _, tag := range tags {
		tagged, err := reference.WithTag(reference.TrimNamed(named), tag)
		if err != nil {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the registry has the tag %q: %s", tag, err))
		}
		one := o
		one.Name = tagged.String()
		if _, err := s.Pull(ctx, one); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// tags asks the registry for the tags of a repository, page by page, sorted.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags
func (s *Store) tags(ctx context.Context, named reference.Named, o PullOptions) ([]string, error) {
	e, err := s.endpoint(ctx, reference.Domain(named))
	if err != nil {
		return nil, err
	}
	defer e.close()
	authorize(&e, o.Auth)
	ctx = docker.WithScope(ctx, "repository:"+reference.Path(named)+":pull")
	var all []string
	at := &url.URL{Scheme: e.host.Scheme, Host: e.host.Host, Path: e.host.Path + "/" + reference.Path(named) + "/tags/list"}
	for range maxTags {
		tags, next, err := tagsPage(ctx, e, at)
		if err != nil {
			return nil, unknownManifest(named, err)
		}
		if all = append(all, tags...); next == nil {
			slices.Sort(all)
			return slices.Compact(all), nil
		}
		at = next
	}
	return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s has more than %d pages of tags", reference.FamiliarName(named), maxTags))
}

// tagsPage asks for one page, with credentials when the registry wants them. next is nil on the last.
func tagsPage(ctx context.Context, e endpoint, at *url.URL) (tags []string, next *url.URL, err error) {
	resp, err := authorizedGet(ctx, e, at)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := remoteerrors.NewUnexpectedStatusErr(resp)
		if resp.StatusCode == http.StatusNotFound {
			err = fmt.Errorf("%w: %w", errdefs.ErrNotFound, err)
		}
		return nil, nil, err
	}
	var page struct{ Tags []string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxJSON)).Decode(&page); err != nil {
		return nil, nil, errdefs.ErrInvalidArgument.WithMessage("the registry's list of tags: " + err.Error())
	}
	next, err = nextPage(resp.Header.Get("Link"), at)
	return page.Tags, next, err
}

func authorizedGet(ctx context.Context, e endpoint, at *url.URL) (*http.Response, error) {
	var last []*http.Response
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
		if err != nil {
			return nil, err
		}
		req.Header = e.host.Header.Clone()
		if req.Header == nil {
			req.Header = http.Header{}
		}
		req.Header.Set("User-Agent", userAgent)
		if e.host.Authorizer != nil {
			if err := e.host.Authorizer.Authorize(ctx, req); err != nil {
				return nil, err
			}
		}
		resp, err := e.host.Client.Do(req)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || e.host.Authorizer == nil || len(last) == 2 {
			return resp, err
		}
		drain(resp)
		last = append(last, resp)
		if err := e.host.Authorizer.AddResponses(ctx, last); err != nil {
			return nil, err
		}
	}
}

// nextPage reads `</v2/x/tags/list?last=b&n=2>; rel="next"`, which must stay at the registry.
func nextPage(link string, at *url.URL) (*url.URL, error) {
	address, rest, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !ok || !strings.Contains(rest, `rel="next"`) && !strings.Contains(rest, "rel=next") {
		return nil, nil
	}
	next, err := at.Parse(address)
	if err != nil || next.Host != at.Host || next.Scheme != at.Scheme {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the registry's next page of tags is %q", address))
	}
	return next, nil
}
