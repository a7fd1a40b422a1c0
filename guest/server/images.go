package server

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"naru/guest/engine/image"
)

// imageRoutes serves /images/….
func imageRoutes(s *image.Store) []route {
	h := imageHandlers{s}
	return []route{
		{"POST", "/images/create", h.create},
		{"POST", "/images/load", h.load},
		{"POST", "/images/prune", h.prune},
		{"GET", "/images/json", h.list},
		{"GET", "/images/get", h.save},
		{"GET", "/images/{name:*}/get", h.save},
		{"GET", "/images/{name:*}/json", h.inspect},
		{"GET", "/images/{name:*}/history", h.history},
		{"GET", "/images/search", h.search},
		{"GET", "/distribution/{name:*}/json", h.distribution},
		{"POST", "/images/{name:*}/push", h.push},
		{"POST", "/images/{name:*}/tag", h.tag},
		{"DELETE", "/images/{name:*}", h.remove},
	}
}

type imageHandlers struct{ s *image.Store }

// create pulls, or imports when fromSrc is given.
func (h imageHandlers) create(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	q := r.URL.Query()
	platform, err := platformValue(q.Get("platform"))
	if err != nil {
		return err
	}
	if q.Get("fromImage") == "" {
		return h.importArchive(w, r, platform)
	}
	auth := registryAuth(r.Header.Get(registry.AuthHeader))
	out := newProgressWriter(w)
	o := image.PullOptions{
		Name:     pullName(strings.TrimSuffix(q.Get("fromImage"), ":"), q.Get("tag")),
		Platform: platform,
		Auth:     auth,
		Progress: out.send,
	}
	if named, err := reference.ParseNormalizedNamed(o.Name); err == nil && reference.IsNameOnly(named) {
		return out.end(h.s.PullAll(r.Context(), o)) // no tag means all
	}
	_, err = h.s.Pull(r.Context(), o)
	return out.end(err)
}

func pullName(name, tag string) string {
	switch {
	case tag == "":
		return name
	case strings.Contains(tag, ":"): // a digest
		return name + "@" + tag
	}
	return name + ":" + tag
}

// push sends the images of a name: with a tag that one, without all of the repository's. Credentials that cannot be
// read count as none, as in Docker. The platform came with API 1.46; clients before sent one without meaning it.
func (h imageHandlers) push(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	q := r.URL.Query()
	o := image.PushOptions{Name: pullName(vars["name"], q.Get("tag"))}
	var err error
	if o.Platform, err = platformParam(r, "platform", "1.46"); err != nil {
		return err
	}
	o.Auth = registryAuth(r.Header.Get(registry.AuthHeader))
	out := newProgressWriter(w)
	o.Progress = out.send
	pushed, err := h.s.Push(r.Context(), o)
	for _, p := range pushed {
		out.aux(p)
	}
	return out.end(err)
}

// distribution tells what the registry has.
func (h imageHandlers) distribution(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	found, err := h.s.Distribution(r.Context(), vars["name"], registryAuth(r.Header.Get(registry.AuthHeader)))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, found)
}

// search is a service of one vendor's hub that no other registry has.
func (h imageHandlers) search(http.ResponseWriter, *http.Request, map[string]string) error {
	return errdefs.ErrNotImplemented.WithMessage("naru does not search Docker Hub: look at https://hub.docker.com/search")
}

func (h imageHandlers) importArchive(w http.ResponseWriter, r *http.Request, platform *ocispec.Platform) error {
	q := r.URL.Query()
	if q.Get("fromSrc") != "-" {
		return errdefs.ErrNotImplemented.WithMessage("naru imports archives from the request only (fromSrc=-)")
	}
	ref := q.Get("repo")
	if ref != "" && q.Get("tag") != "" {
		ref += ":" + q.Get("tag")
	}
	out := newProgressWriter(w)
	img, err := h.s.Import(r.Context(), r.Body, image.ImportOptions{
		Ref: ref, Message: q.Get("message"), Changes: q["changes"], Platform: platform,
	})
	if err == nil {
		out.send(image.Message{Status: img.ID})
	}
	return out.end(err)
}

func (h imageHandlers) load(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	wish, err := archivePlatforms(r)
	if err != nil {
		return err
	}
	out := newProgressWriter(w)
	out.start() // an error is the stream's
	_, err = h.s.Load(r.Context(), r.Body, image.LoadOptions{Platforms: wish, Progress: out.send, Quiet: boolValueOr(r, "quiet", true)})
	return out.end(err)
}

func (h imageHandlers) save(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	names := r.URL.Query()["names"]
	if name := vars["name"]; name != "" {
		names = []string{name}
	}
	if len(names) == 0 {
		return errdefs.ErrInvalidArgument.WithMessage("no image is named")
	}
	wish, err := archivePlatforms(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-tar")
	started := &startedWriter{w: w}
	err = h.s.Save(r.Context(), names, wish, started)
	if err != nil && started.started {
		panic(http.ErrAbortHandler) // the only way left to tell that the archive is not whole
	}
	return err
}

type startedWriter struct {
	w       io.Writer
	started bool
}

func (s *startedWriter) Write(b []byte) (int, error) {
	s.started = true
	return s.w.Write(b)
}

func (h imageHandlers) list(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	o, err := imageListOptions(r)
	if err != nil {
		return err
	}
	list, err := h.s.List(r.Context(), o)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, olderImages(list, requestVersion(r)))
}

func (h imageHandlers) inspect(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	platform, err := platformParam(r, "platform", "1.49")
	if err != nil {
		return err
	}
	manifests := boolValue(r, "manifests") && !lessVersion(requestVersion(r), "1.48")
	if manifests && platform != nil {
		return invalidRequest("conflicting options: manifests and platform options cannot both be set")
	}
	img, err := h.s.Inspect(r.Context(), vars["name"], image.InspectOptions{Platform: platform, Manifests: manifests})
	if err != nil {
		return err
	}
	answer, err := olderImage(img, requestVersion(r))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

func (h imageHandlers) history(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	platform, err := platformParam(r, "platform", "1.48")
	if err != nil {
		return err
	}
	items, err := h.s.History(r.Context(), vars["name"], platform)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, items)
}

func (h imageHandlers) tag(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	q := r.URL.Query()
	if q.Get("repo") == "" {
		return nil // as in Docker
	}
	if err := h.s.Tag(r.Context(), vars["name"], q.Get("repo"), q.Get("tag")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (h imageHandlers) remove(w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	wish, err := platformsParam(r, "platforms", "1.50")
	if err != nil {
		return err
	}
	o := image.DeleteOptions{Force: boolValue(r, "force"), NoPrune: boolValue(r, "noprune")}
	switch len(wish) {
	case 0:
	case 1:
		o.Platform = &wish[0]
	default:
		return invalidRequest("multiple platforms are not supported")
	}
	deleted, err := h.s.Delete(r.Context(), vars["name"], o)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, deleted)
}

func (h imageHandlers) prune(w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	o, err := imagePruneOptions(r)
	if err != nil {
		return err
	}
	report, err := h.s.Prune(r.Context(), o)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, report)
}

// platformValue reads "linux/arm64", or the JSON object that newer clients send; nil when empty.
func platformValue(v string) (*ocispec.Platform, error) {
	if v == "" {
		return nil, nil
	}
	var p ocispec.Platform
	if strings.HasPrefix(v, "{") {
		if err := json.Unmarshal([]byte(v), &p); err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid platform: " + err.Error())
		}
		return &p, nil
	}
	p, err := platforms.Parse(v)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return &p, nil
}

// registryAuth decodes the credentials a client sends with a pull: base64url of JSON, with or without padding.
func registryAuth(header string) (auth registry.AuthConfig) {
	if header == "" {
		return auth
	}
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(header, "="))
	if err == nil && len(data) > 0 {
		err = json.Unmarshal(data, &auth)
	}
	if err != nil { // clients that have none send anything, and Docker minds nothing
		return registry.AuthConfig{}
	}
	if auth.Username == "" && auth.Password == "" && auth.Auth != "" {
		if plain, err := base64.StdEncoding.DecodeString(auth.Auth); err == nil {
			auth.Username, auth.Password, _ = strings.Cut(string(plain), ":")
		}
	}
	return auth
}

// platformsParam reads the platforms of a request, each a JSON document, nil when there are none. Older API versions than since did not
// have the parameter: it is ignored.
func platformsParam(r *http.Request, name, since string) ([]ocispec.Platform, error) {
	if lessVersion(requestVersion(r), since) {
		return nil, nil
	}
	var out []ocispec.Platform
	for _, text := range r.URL.Query()[name] {
		var p ocispec.Platform
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return nil, invalidRequest("failed to parse platform: %s", err)
		}
		optional := p.Variant != "" || p.OSVersion != "" || len(p.OSFeatures) > 0
		switch {
		case p.OS == "" && p.Architecture == "" && optional:
			return nil, invalidRequest("optional platform fields provided, but OS and Architecture are missing")
		case p.OS == "" || p.Architecture == "":
			return nil, invalidRequest("both OS and Architecture must be provided")
		}
		out = append(out, p)
	}
	return out, nil
}

// platformParam is platformsParam of a parameter that may be there once; empty is as not there.
func platformParam(r *http.Request, name, since string) (*ocispec.Platform, error) {
	if r.URL.Query().Get(name) == "" {
		return nil, nil
	}
	list, err := platformsParam(r, name, since)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// archivePlatforms are the platforms of an archive to save or load.
func archivePlatforms(r *http.Request) ([]ocispec.Platform, error) {
	version := requestVersion(r)
	if len(r.URL.Query()["platform"]) > 1 && !lessVersion(version, "1.48") && lessVersion(version, "1.52") {
		return nil, invalidRequest("multiple platform parameters are not supported in this API version; use API version 1.52 or later")
	}
	return platformsParam(r, "platform", "1.48")
}
