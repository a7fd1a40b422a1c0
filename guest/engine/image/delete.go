package image

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
)

// Tag gives an image another name: repo, and tag ("latest" when empty).
func (s *Store) Tag(ctx context.Context, ref, repo, tag string) error {
	img, err := s.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	target, err := tagName(repo, tag)
	if err != nil {
		return err
	}
	records := s.index.of(img.ID)
	if len(records) == 0 {
		return errdefs.ErrNotFound.WithMessage("No such image: " + ref)
	}
	r := records[0]
	r.name, r.pulled, r.hello = target.String(), "", ""
	if old, ok := s.index.record(r.name); ok && old.config == r.config {
		r = old // no news, but the time
	}
	// The lease keeps the content should the image be deleted meanwhile.
	ctx, done, err := s.leased(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := s.put(ctx, r); err != nil {
		return err
	}
	s.emit(events.ActionTag, img.ID, map[string]string{"name": reference.FamiliarString(target)})
	return nil
}

func tagName(repo, tag string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(repo)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	if _, ok := named.(reference.Digested); ok {
		return nil, errdefs.ErrInvalidArgument.WithMessage("cannot import digest reference")
	}
	if tag != "" {
		if named, err = reference.WithTag(reference.TrimNamed(named), tag); err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
	}
	if reference.FamiliarName(named) == string(digest.Canonical) {
		return nil, errdefs.ErrInvalidArgument.WithMessage("refusing to create an ambiguous tag using digest algorithm as name")
	}
	return reference.TagNameOnly(named), nil
}

// Delete removes a name, and the image with its last name; by ID, the image with its one name. Conflicts are
// errdefs.ErrConflict with Docker's words. The space is free soon after; Collect makes it so now.
func (s *Store) Delete(ctx context.Context, ref string, o DeleteOptions) ([]image.DeleteResponse, error) {
	e, found, err := s.find(ref)
	if err == nil {
		err = provides(ref, e.img, o.Platform)
	}
	if err != nil {
		return nil, err
	}
	s.useReserve()
	// The lease keeps the content until it is clear that no container was made meanwhile.
	ctx, done, err := s.leased(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	d := deletion{s: s, id: e.img.ID, ref: ref, uses: s.inUse(e.img.ID), force: o.Force}
	out, last, err := d.run(ctx, found.name)
	if err != nil || last.name == "" || len(s.inUse(d.id)) == 0 {
		return out, err
	}
	last.name, last.pulled, last.hello = heldPrefix+d.id, "", ""
	return out, s.put(ctx, last)
}

// deletion decides what goes. names is held while it runs.
type deletion struct {
	s       *Store
	id, ref string
	uses    []Use
	force   bool
	records []record // all of the image
	remove  []record
	put     []record
}

// run deletes by the record's name, or by ID when name is empty. last is a record of the image if that is gone.
func (d *deletion) run(ctx context.Context, name string) (_ []image.DeleteResponse, last record, err error) {
	d.s.names.Lock()
	defer d.s.names.Unlock()
	if d.records = d.s.index.of(d.id); len(d.records) == 0 {
		return nil, last, errdefs.ErrNotFound.WithMessage("No such image: " + d.ref)
	}
	if name == "" {
		err = d.byID()
	} else {
		err = d.byName(name)
	}
	if err != nil {
		return nil, last, err
	}
	out, err := d.commit(ctx)
	if d.s.index.entry(d.id) == nil {
		last = d.records[0]
	}
	return out, last, err
}

func (d *deletion) byName(name string) error {
	var rest []record
	for _, r := range d.records {
		switch {
		case r.name == name:
			d.remove = append(d.remove, r)
		case r.pulled == name: // a tag stays, without the digest
			r.pulled = ""
			d.put = append(d.put, r)
			rest = append(rest, r)
		default:
			rest = append(rest, r)
		}
	}
	if len(d.remove) > 0 && !isDigest(name) {
		rest = d.takeDigests(rest)
	}
	if len(rest) > 0 || len(d.uses) == 0 {
		return nil
	}
	if !d.force {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf(
			"conflict: unable to remove repository reference %q (must force) - container %s is using its referenced image %s",
			d.ref, short(d.uses[0].Container), short(d.id)))
	}
	d.keep()
	return nil
}

// takeDigests also removes the digests of the removed tag's repository when no tag of it is left.
func (d *deletion) takeDigests(rest []record) []record {
	repo := d.remove[0].reference()
	if repo == nil {
		return rest
	}
	var digests, other []record
	for _, r := range rest {
		named := r.reference()
		switch {
		case named == nil || named.Name() != repo.Name():
			other = append(other, r)
		case isDigest(r.name):
			digests = append(digests, r)
		default:
			return rest
		}
	}
	d.remove = append(d.remove, digests...)
	return other
}

func (d *deletion) byID() error {
	conflict := func(how, why string) error {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("conflict: unable to delete %s (%s) - %s", short(d.id), how, why))
	}
	if c := d.running(); c != "" {
		return conflict("cannot be forced", "image is being used by running container "+short(c))
	}
	if !d.force && !singleRepo(d.records) {
		return conflict("must be forced", "image is referenced in multiple repositories")
	}
	if !d.force && len(d.uses) > 0 {
		return conflict("must be forced", "image is being used by stopped container "+short(d.uses[0].Container))
	}
	d.remove = d.records
	if len(d.uses) > 0 {
		d.keep()
	}
	return nil
}

// keep lets the content stay for the containers: shown without a name while one runs, hidden when all are stopped.
func (d *deletion) keep() {
	r := d.records[0]
	r.name, r.pulled, r.hello = heldPrefix+d.id, "", ""
	if d.running() != "" {
		r.name = danglingPrefix + d.id
	}
	d.put = append(d.put, r)
}

func (d *deletion) running() string {
	for _, u := range d.uses {
		if u.Running {
			return u.Container
		}
	}
	return ""
}

// singleRepo tells whether the records hold at most one tag, and digests only of the same repository.
func singleRepo(records []record) bool {
	repos, tags := map[string]bool{}, 0
	for _, r := range records {
		named := r.reference()
		if named == nil {
			continue
		}
		repos[named.Name()] = true
		if !isDigest(r.name) {
			tags++
		}
	}
	return tags <= 1 && len(repos) <= 1
}

// commit writes what was decided, and tells of it.
func (d *deletion) commit(ctx context.Context) ([]image.DeleteResponse, error) {
	var remove, untagged []string
	for _, r := range d.remove {
		if len(d.put) == 0 || r.name != d.put[0].name {
			remove = append(remove, r.name)
		}
		if named := r.reference(); named != nil && !isDigest(r.name) {
			untagged = append(untagged, reference.FamiliarString(named))
		}
	}
	if err := d.s.commit(ctx, d.put, remove); err != nil {
		return nil, err
	}
	untagged = append(untagged, d.lostDigests()...)
	out := []image.DeleteResponse{}
	for _, name := range untagged {
		out = append(out, image.DeleteResponse{Untagged: name})
		d.s.emit(events.ActionUnTag, d.id, map[string]string{"name": d.id})
	}
	if e := d.s.index.entry(d.id); e == nil || e.held {
		out = append(out, image.DeleteResponse{Deleted: d.id})
		d.s.emit(events.ActionDelete, d.id, map[string]string{"name": d.id})
	}
	return out, nil
}

// lostDigests are the RepoDigests that the image had before and has no more.
func (d *deletion) lostDigests() []string {
	left := map[string]bool{"": true}
	for _, r := range d.s.index.of(d.id) {
		left[r.pulled] = true
	}
	var lost []string
	for _, r := range d.records {
		if named, err := reference.ParseNormalizedNamed(r.pulled); err == nil && !left[r.pulled] {
			left[r.pulled] = true
			lost = append(lost, reference.FamiliarString(named))
		}
	}
	return lost
}

// Prune removes images no container uses: those without a tag, or all that match.
func (s *Store) Prune(ctx context.Context, o PruneOptions) (*image.PruneReport, error) {
	report := &image.PruneReport{}
	s.dropRetries(ctx, "")
	before, err := s.LayersSize(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range s.index.shown() {
		if !o.match(e.img) || len(s.inUse(e.img.ID)) > 0 {
			continue
		}
		deleted, err := s.Delete(ctx, e.img.ID, DeleteOptions{Force: true})
		if errdefs.IsConflict(err) || errdefs.IsNotFound(err) { // used or removed since
			continue
		}
		if err != nil {
			return nil, err
		}
		report.ImagesDeleted = append(report.ImagesDeleted, deleted...)
	}
	if err := s.Collect(ctx); err != nil {
		return nil, err
	}
	// Not what is free on the disk now: others write there too.
	if after, err := s.LayersSize(ctx); err == nil && after < before {
		report.SpaceReclaimed = uint64(before - after)
	}
	s.emit(events.ActionPrune, "", map[string]string{"reclaimed": fmt.Sprint(report.SpaceReclaimed)})
	return report, nil
}

func (o *PruneOptions) match(img *Image) bool {
	if len(img.RepoTags) > 0 && !o.All || !o.Until.IsZero() && !img.Created.Before(o.Until) {
		return false
	}
	if !hasLabels(img.Config.Labels, o.Labels) {
		return false
	}
	for _, label := range o.WithoutLabels {
		if hasLabels(img.Config.Labels, []string{label}) {
			return false
		}
	}
	return true
}

func isDigest(name string) bool { return strings.Contains(name, "@") }

// short is the 12 digits by which Docker names containers and images in texts.
func short(id string) string {
	if d, err := digest.Parse(id); err == nil {
		id = d.Encoded()
	}
	return id[:min(12, len(id))]
}
