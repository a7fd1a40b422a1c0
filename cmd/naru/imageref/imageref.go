// Package imageref reads image references ("nginx", "ghcr.io/a/b:1.2@sha256:…") as Docker's tools do. It knows what
// the CLI needs, without regular expressions: compiling those of the reference library takes longer than all else
// that happens before main. The engine checks again.
package imageref

import (
	"fmt"
	"strings"
)

// Docker Hub's names: what is meant by a reference without a domain.
const (
	DefaultDomain = "docker.io"
	officialPath  = "library/"
	DefaultTag    = "latest"
)

// Ref is a reference with its defaults filled in, but for the tag.
type Ref struct {
	Domain string // "docker.io"
	Path   string // "library/nginx"
	Tag    string // may be empty
	Digest string // "sha256:…", may be empty
}

// Parse reads a reference.
func Parse(s string) (Ref, error) {
	var r Ref
	rest, digest, hasDigest := strings.Cut(s, "@")
	if hasDigest {
		algo, hex, ok := strings.Cut(digest, ":")
		if !ok || algo == "" || len(hex) < 32 || strings.Trim(hex, "0123456789abcdef") != "" {
			return r, invalid(s)
		}
		r.Digest = digest
	}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.Contains(rest[i:], "/") {
		rest, r.Tag = rest[:i], rest[i+1:]
		if !validTag(r.Tag) {
			return Ref{}, invalid(s)
		}
	}
	r.Domain, r.Path = splitDomain(rest)
	if strings.ToLower(r.Path) != r.Path {
		return Ref{}, fmt.Errorf("invalid reference format: repository name (%s) must be lowercase", r.Path)
	}
	if !validPath(r.Path) || !validDomain(r.Domain) || len(r.Path) > 255 {
		return Ref{}, invalid(s)
	}
	return r, nil
}

func invalid(s string) error { return fmt.Errorf("invalid reference format: %q", s) }

func splitDomain(s string) (domain, path string) {
	first, rest, ok := strings.Cut(s, "/")
	if !ok || !strings.ContainsAny(first, ".:") && first != "localhost" && strings.ToLower(first) == first {
		domain, path = DefaultDomain, s
	} else {
		domain, path = first, rest
	}
	if domain == "index.docker.io" {
		domain = DefaultDomain
	}
	if domain == DefaultDomain && !strings.Contains(path, "/") {
		path = officialPath + path
	}
	return domain, path
}

func validTag(tag string) bool {
	return tag != "" && len(tag) <= 128 && tag[0] != '.' && tag[0] != '-' && only(tag, "_.-ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}

func validDomain(d string) bool {
	return d != "" && only(d, ".:-[]_ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}

func validPath(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || !only(part, "._-") || strings.Trim(part, "._-") != part {
			return false
		}
	}
	return true
}

// only tells whether s consists of digits, lower-case letters and those in more.
func only(s, more string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return true
}

// WithTag is r with the default tag when it has neither tag nor digest.
func (r Ref) WithTag() Ref {
	if r.Tag == "" && r.Digest == "" {
		r.Tag = DefaultTag
	}
	return r
}

// Familiar is the repository as people write it: "nginx", "ghcr.io/a/b".
func (r Ref) Familiar() string {
	if r.Domain != DefaultDomain {
		return r.Domain + "/" + r.Path
	}
	return strings.TrimPrefix(r.Path, officialPath)
}

// Name is the repository in full: "docker.io/library/nginx".
func (r Ref) Name() string { return r.Domain + "/" + r.Path }

// FamiliarString is the reference as people write it.
func (r Ref) FamiliarString() string { return r.Familiar() + r.suffix() }

// String is the reference in full.
func (r Ref) String() string { return r.Name() + r.suffix() }

func (r Ref) suffix() string {
	var s string
	if r.Tag != "" {
		s = ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// TagOrDigest is what the API calls tag: the digest when there is one.
func (r Ref) TagOrDigest() string {
	if r.Digest != "" {
		return r.Digest
	}
	return r.Tag
}
