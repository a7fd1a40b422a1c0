package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// TestLeases pulls, loads, commits, saves, removes, prunes and collects the same images at once. Nothing that is under way or used
// by a container loses what it needs: an operation succeeds, or says that the image it was asked for is not there; every archive is
// whole; and a container's layers stay. NARU_TEST_ROUNDS is how often each does its work, NARU_TEST_SEED when which.
func TestLeases(t *testing.T) {
	var used sync.Map // image ID: how many containers
	s := openTest(t, t.TempDir(), func(id string) []Use {
		if _, ok := used.Load(id); ok {
			return []Use{{Container: strings.Repeat("c", 64), Running: id[len(id)-1]%2 == 0}}
		}
		return nil
	})
	archive, _ := smallImages(t)
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	noise := strings.Repeat("0123456789abcdef", 1<<14)
	reg := newTestRegistry(t)
	l := leaseLoop{s: s, used: &used, archive: data}
	for i := range 3 {
		layers := [][]file{{{name: "noise", content: noise}}, {{name: "end", content: "end"}}, {{name: "own", content: fmt.Sprint(i)}}}
		l.refs = append(l.refs, reg.push(t, fmt.Sprintf("app%d", i), testImage(t, "amd64", layers...)).String())
	}
	seed := seeded(t).Uint64()
	works := []func(context.Context, *rand.Rand) error{l.pull, l.pull, l.load, l.container, l.container, l.save, l.save, l.remove, l.prune, l.collect}
	g, ctx := errgroup.WithContext(t.Context())
	for n, work := range works {
		g.Go(func() error {
			random := rand.New(rand.NewPCG(seed, uint64(n)))
			for range number("NARU_TEST_ROUNDS", 8) {
				if err := work(ctx, random); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	used.Clear()
	if _, err := s.Prune(t.Context(), PruneOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, s)
}

// leaseLoop is what the workers of TestLeases share.
type leaseLoop struct {
	s       *Store
	used    *sync.Map
	refs    []string
	archive []byte
}

func (l *leaseLoop) ref(random *rand.Rand) string { return l.refs[random.IntN(len(l.refs))] }

// gone forgives that somebody else has removed the image that was asked for.
func gone(what string, err error) error {
	if err == nil || errdefs.IsNotFound(err) && strings.Contains(err.Error(), "No such image") {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (l *leaseLoop) pull(ctx context.Context, random *rand.Rand) error {
	_, err := l.s.Pull(ctx, PullOptions{Name: l.ref(random)})
	return gone("pull", err)
}

func (l *leaseLoop) load(ctx context.Context, _ *rand.Rand) error {
	_, err := l.s.Load(ctx, bytes.NewReader(l.archive), LoadOptions{})
	return gone("load", err)
}

func (l *leaseLoop) remove(ctx context.Context, random *rand.Rand) error {
	_, err := l.s.Delete(ctx, l.ref(random), DeleteOptions{Force: random.IntN(2) == 0})
	if errdefs.IsConflict(err) {
		return nil
	}
	return gone("remove", err)
}

func (l *leaseLoop) prune(ctx context.Context, random *rand.Rand) error {
	_, err := l.s.Prune(ctx, PruneOptions{All: random.IntN(2) == 0})
	return gone("prune", err)
}

func (l *leaseLoop) collect(ctx context.Context, _ *rand.Rand) error { return l.s.Collect(ctx) }

func (l *leaseLoop) save(ctx context.Context, random *rand.Rand) error {
	var b bytes.Buffer
	if err := l.s.Save(ctx, []string{l.ref(random)}, nil, &b); err != nil {
		return gone("save", err)
	}
	if err := wholeArchive(&b); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	return nil
}

// container uses an image as a container does, and commits it: from the moment on that the image was there with the use, its files
// stay, whoever removes it.
func (l *leaseLoop) container(ctx context.Context, random *rand.Rand) error {
	img, err := l.s.Pull(ctx, PullOptions{Name: l.ref(random)})
	if err != nil {
		return gone("pull for a container", err)
	}
	if _, taken := l.used.LoadOrStore(img.ID, true); taken { // the other worker's
		return nil
	}
	defer l.used.Delete(img.ID)
	if _, err := l.s.Resolve(ctx, img.ID); err != nil {
		return gone("resolve", err)
	}
	for range 5 {
		dirs, err := l.s.Layers(ctx, img.ID)
		if err != nil || len(dirs) != 3 {
			return fmt.Errorf("layers of an image in use: %q, %w", dirs, err)
		}
		if err := l.s.Collect(ctx); err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dirs[1], "end"))
		if err != nil || string(data) != "end" {
			return fmt.Errorf("a file of an image in use: %q, %w", data, err)
		}
	}
	_, err = l.s.Commit(ctx, CommitOptions{Parent: img.ID, Layer: func(_ context.Context, w io.Writer) error {
		out, text := tar.NewWriter(w), fmt.Sprint(random.Uint64())
		if err := out.WriteHeader(&tar.Header{Name: "committed", Mode: 0o644, Size: int64(len(text))}); err != nil {
			return err
		}
		_, err := io.WriteString(out, text)
		return errors.Join(err, out.Close())
	}})
	return gone("commit", err)
}

// wholeArchive checks each blob of a saved archive against its name, and that the manifest's are all there.
func wholeArchive(r io.Reader) error {
	blobs := map[string][]byte{}
	var index ocispec.Index
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		data, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		if name, ok := strings.CutPrefix(h.Name, "blobs/sha256/"); ok && h.Typeflag == tar.TypeReg {
			if sum := sha256.Sum256(data); hexOf(sum[:]) != name {
				return fmt.Errorf("the blob %s is wrong", name)
			}
			blobs[name] = data
		}
		if h.Name == "index.json" {
			if err := json.Unmarshal(data, &index); err != nil {
				return err
			}
		}
	}
	for _, d := range index.Manifests {
		var m ocispec.Manifest
		if err := json.Unmarshal(blobs[d.Digest.Encoded()], &m); err != nil {
			return fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
		for _, b := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
			if blobs[b.Digest.Encoded()] == nil {
				return fmt.Errorf("the archive lacks %s", b.Digest)
			}
		}
	}
	if len(index.Manifests) == 0 {
		return errors.New("the archive has no image")
	}
	return nil
}
