package build

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/registry"
	"golang.org/x/sync/errgroup"
)

// Request is a build that a client asks for by POST /build.
type Request struct {
	ID         string // the client's, for Cancel and Upload; may be empty
	Session    string // of the client, which gives files, secrets and credentials; may be empty
	Context    string // address of a git repository, archive or Dockerfile; "client-session", "upload-request" or "" for Body
	Body       io.ReadCloser
	Dockerfile string // path in the context
	Target     string
	Tags       []string
	Args       map[string]*string // nil: not set
	Labels     map[string]string
	CacheFrom  []string
	NoCache    bool
	Pull       bool
	Platform   string
	Network    string
	ExtraHosts []string
	ShmSize    int64
	Ulimits    []*container.Ulimit
	Outputs    []Output // empty: the image store
	Auth       map[string]registry.AuthConfig
}

// Output is where a result goes.
type Output struct {
	Type  string
	Attrs map[string]string
}

// Build builds, and returns the ID of the image when there is one. status is called for each step of progress.
func (b *Builder) Build(ctx context.Context, r Request, status func(*controlapi.StatusResponse) error) (imageID string, err error) {
	p, err := b.open(ctx)
	if err != nil {
		return "", err
	}
	ctx, end := b.begin(ctx, r.ID)
	defer end()
	if r.Context == "upload-request" {
		if r.Body, err = b.uploaded(ctx, r.ID); err != nil {
			return "", err
		}
		r.Context = ""
	}
	if r.Session == "" {
		var close func()
		if r.Session, close, err = b.ownSession(ctx, r.Auth); err != nil {
			return "", err
		}
		defer close()
	}
	req, err := r.solve()
	if err != nil {
		return "", err
	}
	if r.Context == "" {
		address, done := p.context.offer(r.Body)
		defer done()
		req.FrontendAttrs["context"] = address
	}
	return p.solve(ctx, req, status)
}

// solve runs one build, and its progress beside it. The progress is followed to its end whatever becomes of the request.
func (p *parts) solve(ctx context.Context, req *controlapi.SolveRequest, status func(*controlapi.StatusResponse) error) (imageID string, err error) {
	var g errgroup.Group
	progress := callStream[controlapi.StatusResponse]{context.WithoutCancel(ctx), status}
	g.Go(func() error { return p.control.Status(&controlapi.StatusRequest{Ref: req.Ref}, progress) })
	g.Go(func() error {
		resp, err := p.control.Solve(ctx, req)
		if err != nil {
			return err
		}
		imageID = resp.ExporterResponse[exptypes.ExporterImageConfigDigestKey]
		return nil
	})
	return imageID, g.Wait()
}

// solve is the request in BuildKit's words.
func (r *Request) solve() (*controlapi.SolveRequest, error) {
	attrs, err := r.attributes()
	if err != nil {
		return nil, err
	}
	out, err := r.exporter()
	if err != nil {
		return nil, err
	}
	req := &controlapi.SolveRequest{
		Ref: identity.NewID(), Frontend: "dockerfile.v0", FrontendAttrs: attrs, Session: r.Session, Cache: &controlapi.CacheOptions{},
	}
	if out != nil {
		req.Exporters = []*controlapi.Exporter{out}
	}
	if inline := r.Args["BUILDKIT_INLINE_CACHE"]; inline != nil {
		if on, err := strconv.ParseBool(*inline); err == nil && on {
			req.Cache.Exports = []*controlapi.CacheOptionsEntry{{Type: "inline"}}
		}
	}
	if r.Network == "host" {
		req.Entitlements = []string{string(entitlements.EntitlementNetworkHost)}
	}
	return req, nil
}

// exporter is nil when only the cache is to be filled.
func (r *Request) exporter() (*controlapi.Exporter, error) {
	out := &controlapi.Exporter{Type: "moby", Attrs: map[string]string{}}
	switch len(r.Outputs) {
	case 0:
	case 1:
		if r.Outputs[0].Type == "cacheonly" {
			return nil, nil
		}
		out.Type = r.Outputs[0].Type
		for k, v := range r.Outputs[0].Attrs {
			out.Attrs[k] = v
		}
	default:
		return nil, errdefs.ErrInvalidArgument.WithMessage("multiple outputs not supported")
	}
	if (out.Type == "moby" || out.Type == client.ExporterImage) && len(r.Tags) > 0 {
		names, err := imageNames(r.Tags)
		if err != nil {
			return nil, err
		}
		out.Attrs[string(exptypes.OptKeyName)] = strings.Join(names, ",")
	}
	return out, nil
}

// attributes are the options of the Dockerfile frontend.
func (r *Request) attributes() (map[string]string, error) {
	attrs := map[string]string{resolveMode: preferLocal}
	set := func(key, value string) {
		if value != "" {
			attrs[key] = value
		}
	}
	set("target", r.Target)
	if r.Dockerfile != "." {
		set("filename", r.Dockerfile)
	}
	if r.Context != "client-session" {
		set("context", r.Context)
	}
	set("cache-from", strings.Join(r.CacheFrom, ","))
	for k, v := range r.Args {
		if v != nil {
			attrs["build-arg:"+k] = *v
		}
	}
	for k, v := range r.Labels {
		attrs["label:"+k] = v
	}
	if r.NoCache {
		attrs["no-cache"] = ""
	}
	if r.Pull {
		attrs[resolveMode] = "pull"
	}
	if r.Platform != "" {
		if _, err := platforms.Parse(r.Platform); err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
		attrs["platform"] = r.Platform
	}
	switch r.Network {
	case "host", "none":
		attrs["force-network-mode"] = r.Network
	case "", "default", "bridge":
	default:
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("network mode %q not supported by buildkit", r.Network))
	}
	hosts, err := extraHosts(r.ExtraHosts)
	if err != nil {
		return nil, err
	}
	set("add-hosts", hosts)
	if r.ShmSize > 0 {
		attrs["shm-size"] = strconv.FormatInt(r.ShmSize, 10)
	}
	var ulimits []string
	for _, u := range r.Ulimits {
		ulimits = append(ulimits, u.String())
	}
	set("ulimit", strings.Join(ulimits, ","))
	return attrs, nil
}

// resolveMode says where base images are looked for. BuildKit asks the registry first by default; people who have built
// or pulled an image expect that one to be used, as with docker.
const (
	resolveMode = "image-resolve-mode"
	preferLocal = "local"
)

// extraHosts turns "name:address" into what the frontend reads.
func extraHosts(list []string) (string, error) {
	var out []string
	for _, entry := range list {
		host, address, ok := strings.Cut(entry, ":")
		if !ok || host == "" || address == "" {
			return "", errdefs.ErrInvalidArgument.WithMessage("invalid host " + entry)
		}
		out = append(out, host+"="+address)
	}
	return strings.Join(out, ","), nil
}
