package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.etcd.io/bbolt"
)

// Names of records that are not references. Each is followed by the config's digest.
const (
	danglingPrefix = "naru-dangling@" // an image without a name
	heldPrefix     = "naru-held@"     // deleted by force while a container was made from it; not shown
)

// Labels of an image record.
const (
	labelConfig = "naru/config" // digest of the config: the image's ID
	labelPulled = "naru/pulled" // canonical reference that was pulled, for RepoDigests
	labelSize   = "naru/size"   // bytes, unpacked
	labelHello  = "naru/hello"  // what the hello image was made from
)

// record is a name of an image, as kept in the metadata database. Several can be of one image.
type record struct {
	name    string // normalised reference, or a prefix above and the ID
	target  ocispec.Descriptor
	config  digest.Digest
	pulled  string
	hello   string
	size    int64
	updated time.Time
}

func (r record) id() string { return r.config.String() }

func (r record) reference() reference.Named {
	if strings.HasPrefix(r.name, danglingPrefix) || strings.HasPrefix(r.name, heldPrefix) {
		return nil
	}
	named, err := reference.ParseNormalizedNamed(r.name)
	if err != nil {
		return nil
	}
	return named
}

// entry is an image in memory.
type entry struct {
	img     *Image // replaced whole when its names change
	target  ocispec.Descriptor
	held    bool // only a held record is left
	updated time.Time
	layers  []string // nil until asked for
}

// index mirrors the records of the database.
type index struct {
	mu      sync.RWMutex // guards all below
	records map[string]record
	entries map[string]*entry // by ID
}

func (x *index) list() []record {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make([]record, 0, len(x.records))
	for _, r := range x.records {
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out
}

func (x *index) record(name string) (record, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r, ok := x.records[name]
	return r, ok
}

// of returns the records of one image, sorted by name.
func (x *index) of(id string) []record {
	return slices.DeleteFunc(x.list(), func(r record) bool { return r.id() != id })
}

func (x *index) entry(id string) *entry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.entries[id]
}

func (x *index) isHeld(id string) bool {
	e := x.entry(id)
	return e != nil && e.held
}

// shown returns all images but held ones.
func (x *index) shown() []*entry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []*entry
	for _, e := range x.entries {
		if !e.held {
			out = append(out, e)
		}
	}
	return out
}

func (s *Store) loadIndex(ctx context.Context) error {
	list, err := s.images.List(ctx)
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	s.index.records, s.index.entries = map[string]record{}, map[string]*entry{}
	for _, i := range list {
		r := fromStored(i)
		if err := s.learn(ctx, r); err != nil {
			// One broken image must not take the others away. Its record stays, so that nothing is collected.
			s.log.Error("image is not readable", "name", r.name, "error", err)
		}
	}
	return nil
}

// learn takes a record into memory, reading the config when it is the first of its image.
func (s *Store) learn(ctx context.Context, r record) error {
	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	e := s.index.entries[r.id()]
	if e == nil {
		img, err := s.readImage(ctx, r)
		if err != nil {
			return err
		}
		e = &entry{img: img, target: r.target}
		s.index.entries[r.id()] = e
	}
	s.index.records[r.name] = r
	s.index.rename(r.id())
	return nil
}

// rename builds the names of an image anew from its records, or drops it with the last. mu is held.
func (x *index) rename(id string) {
	e := x.entries[id]
	if e == nil {
		return
	}
	img := *e.img
	img.RepoTags, img.RepoDigests = []string{}, []string{}
	held, any := true, false
	next := &entry{layers: e.layers, target: e.target}
	for _, r := range x.records {
		if r.id() != id {
			continue
		}
		any = true
		held = held && strings.HasPrefix(r.name, heldPrefix)
		if r.updated.After(next.updated) {
			next.updated, next.target = r.updated, r.target
		}
		if tagged, ok := r.reference().(reference.NamedTagged); ok {
			img.RepoTags = append(img.RepoTags, reference.FamiliarString(tagged))
		}
		if pulled, err := reference.ParseNormalizedNamed(r.pulled); err == nil {
			img.RepoDigests = append(img.RepoDigests, reference.FamiliarString(pulled))
		}
	}
	if !any {
		delete(x.entries, id)
		return
	}
	sort.Strings(img.RepoTags)
	sort.Strings(img.RepoDigests)
	img.RepoDigests = slices.Compact(img.RepoDigests)
	next.img, next.held = &img, held
	x.entries[id] = next
}

// commit removes and puts records, all in one durable transaction, then in memory. names must be held.
func (s *Store) commit(ctx context.Context, put []record, remove []string) error {
	now := time.Now().UTC()
	for i := range put {
		put[i].updated = now
		if s.index.entry(put[i].id()) == nil { // readable? Asked before anything is written.
			if _, err := s.readImage(ctx, put[i]); err != nil {
				return err
			}
		}
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		ctx := boltutil.WithTransaction(ctx, tx)
		for _, name := range remove {
			if err := s.images.Delete(ctx, name); err != nil && !errdefs.IsNotFound(err) {
				return err
			}
		}
		for _, r := range put {
			_, err := s.images.Create(ctx, r.stored())
			if errdefs.IsAlreadyExists(err) {
				_, err = s.images.Update(ctx, r.stored())
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write image names: %w", err)
	}
	var errs []error
	for _, r := range put {
		old, replaced := s.index.record(r.name)
		errs = append(errs, s.learn(ctx, r))
		if replaced && old.config != r.config {
			s.index.mu.Lock()
			s.index.rename(old.id())
			s.index.mu.Unlock()
		}
	}
	s.index.mu.Lock()
	for _, name := range remove {
		r, ok := s.index.records[name]
		delete(s.index.records, name)
		if ok {
			s.index.rename(r.id())
		}
	}
	s.index.mu.Unlock()
	if len(remove) > 0 {
		s.collector.trigger()
	}
	return errors.Join(errs...)
}

// put gives an image a name. An image that loses its last name by this stays, by the digest it was pulled by or
// without a name.
func (s *Store) put(ctx context.Context, r record) error {
	s.names.Lock()
	defer s.names.Unlock()
	puts, remove := []record{r}, []string{}
	if old, ok := s.index.record(r.name); ok && old.config != r.config && len(s.index.of(old.id())) == 1 {
		switch {
		case old.hello != "" && r.hello != "": // ours; nobody asked for the old one to stay
			old.name = heldPrefix + old.id()
		case old.pulled != "":
			old.name = old.pulled
		default:
			old.name = danglingPrefix + old.id()
		}
		puts = append(puts, old)
	}
	for _, name := range []string{danglingPrefix + r.id(), heldPrefix + r.id()} {
		if _, ok := s.index.record(name); ok && name != r.name {
			remove = append(remove, name)
		}
	}
	return s.commit(ctx, puts, remove)
}

func (r record) stored() images.Image {
	l := map[string]string{labelConfig: r.config.String(), labelSize: fmt.Sprint(r.size)}
	if r.pulled != "" {
		l[labelPulled] = r.pulled
	}
	if r.hello != "" {
		l[labelHello] = r.hello
	}
	return images.Image{Name: r.name, Labels: l, Target: r.target, CreatedAt: r.updated, UpdatedAt: r.updated}
}

func fromStored(i images.Image) record {
	r := record{
		name: i.Name, target: i.Target, config: digest.Digest(i.Labels[labelConfig]), pulled: i.Labels[labelPulled],
		hello: i.Labels[labelHello], updated: i.UpdatedAt,
	}
	_, _ = fmt.Sscan(i.Labels[labelSize], &r.size) // written by stored; 0 when damaged
	return r
}
