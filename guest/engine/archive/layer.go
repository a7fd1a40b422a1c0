package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// LayerBudget bounds what a layer may ask for. Zero is no bound.
type LayerBudget struct {
	Size       int64 // bytes of all files
	Entries    int64
	NameLength int // bytes of a name or of a link's target
	Depth      int // elements of a name
	Attributes int // bytes of one entry's extended attributes, names and values
}

// LayerReport tells what was unpacked, and what of it the caller has yet to do: this package needs neither the layers
// below nor the right to set trusted.* attributes.
type LayerReport struct {
	Size    int64 // bytes of all files
	Entries int64
	Opaque  []string // folders that hide those below them
	Itself  bool     // the layer describes the folder it is unpacked in
	Implied []string // other folders that the layer writes into and does not describe; those above come first
}

// whiteout begins the name of an entry that hides the file of that name in the layers below.
// https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
const (
	whiteout     = ".wh."
	whiteoutMeta = ".wh..wh." // of AUFS; hides nothing
	opaqueMark   = ".wh..wh..opq"
)

// ApplyLayer unpacks a layer, which is not compressed, into an empty folder as an overlay wants it: whiteouts become
// devices 0:0. As in Unpack nothing leads out of the folder. Attributes of overlay file systems are left out.
func ApplyLayer(ctx context.Context, r io.Reader, dest *Root, b LayerBudget) (LayerReport, error) {
	l := &layer{budget: b, whiteouts: map[string]struct{}{}, implied: map[string]int{}, opaque: map[string]struct{}{}}
	l.unpacker = unpacker{
		ctx: ctx, root: dest, o: UnpackOptions{IDs: sameIDs{}, Itself: true, Dest: "/"},
		in: tar.NewReader(contextReader{ctx, r}), parent: -1, buf: make([]byte, bufferSize),
	}
	defer l.leave()
	l.small = newSmallFiles()
	defer l.small.stop()
	for {
		hdr, err := l.in.Next()
		if err == io.EOF {
			if err := l.small.wait(); err != nil {
				return l.report, err
			}
			return l.report, l.finishLayer()
		}
		if err != nil {
			return l.report, l.readError(err)
		}
		if err := l.apply(hdr); err != nil {
			return l.report, err
		}
	}
}

// layer is one layer being unpacked.
type layer struct {
	unpacker
	budget    LayerBudget
	report    LayerReport
	whiteouts map[string]struct{} // devices made for them
	implied   map[string]int      // when they were made
	made      int                 // how many implied folders were
	opaque    map[string]struct{}
}

func (l *layer) apply(hdr *tar.Header) error {
	if err := l.account(hdr); err != nil {
		return err
	}
	for key := range hdr.PAXRecords {
		if strings.HasPrefix(key, paxAttribute+"user.overlay.") {
			delete(hdr.PAXRecords, key)
		}
	}
	name, ok := localName(hdr.Name)
	if !ok {
		return breakout("entry name", hdr.Name)
	}
	if name == "." || hdr.Typeflag == tar.TypeXGlobalHeader {
		l.report.Itself = l.report.Itself || name == "." && hdr.Typeflag == tar.TypeDir
		return l.entry(hdr)
	}
	if err := l.reach(path.Dir(name)); err != nil {
		return fmt.Errorf("unpack /%s: %w", name, err)
	}
	if strings.HasPrefix(path.Base(name), whiteout) {
		return l.hide(path.Dir(name), path.Base(name))
	}
	if hdr.Typeflag == tar.TypeDir {
		delete(l.implied, name)
		if _, hidden := l.whiteouts[name]; hidden {
			l.opaque[name] = struct{}{}
		}
	}
	delete(l.whiteouts, name)
	return l.entry(hdr)
}

// account refuses what is over the budget, before anything of the entry is made.
func (l *layer) account(hdr *tar.Header) error {
	b, r := l.budget, &l.report
	r.Entries++
	r.Size += hdr.Size
	attributes := 0
	for k, v := range hdr.PAXRecords {
		if strings.HasPrefix(k, paxAttribute) {
			attributes += len(k) - len(paxAttribute) + len(v)
		}
	}
	switch name := strings.Trim(hdr.Name, "/"); {
	case over(r.Entries, b.Entries):
		return OverBudget("it has more than %d entries", b.Entries)
	case hdr.Size < 0 || over(r.Size, b.Size):
		return OverBudget("its files are larger than %d bytes", b.Size)
	case over(int64(max(len(name), len(hdr.Linkname))), int64(b.NameLength)):
		return OverBudget("a name in it is longer than %d bytes: %.64q…", b.NameLength, name)
	case over(int64(strings.Count(name, "/")+1), int64(b.Depth)):
		return OverBudget("a name in it is deeper than %d folders: %.64q…", b.Depth, name)
	case over(int64(attributes), int64(b.Attributes)):
		return OverBudget("the extended attributes of %.64q take more than %d bytes", name, b.Attributes)
	}
	return nil
}

func over(n, bound int64) bool { return bound > 0 && n > bound }

// OverBudget is a layer that asks for too much.
func OverBudget(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage("the layer is refused: " + fmt.Sprintf(format, args...))
}

// reach opens the folder that an entry goes into. Those on the way that are missing are made, and noted.
func (l *layer) reach(dir string) error {
	if l.parent >= 0 && l.dir == dir {
		return nil
	}
	at := ""
	for element := range strings.SplitSeq(dir, "/") {
		at = path.Join(at, element)
		_, hidden := l.whiteouts[at]
		if hidden {
			if err := l.uncover(at); err != nil {
				return err
			}
		}
		fd, err := l.root.Open(at, unix.O_PATH|unix.O_DIRECTORY)
		if errors.Is(err, unix.ENOENT) {
			fd, err = l.imply(at)
		}
		if err != nil {
			return err
		}
		unix.Close(fd)
	}
	return l.enter(dir)
}

// imply makes a folder; where a link leads to nowhere, there, as with the root of a container.
func (l *layer) imply(name string) (int, error) {
	to, err := l.root.Resolve(name)
	if err != nil {
		return -1, err
	}
	to = strings.TrimPrefix(to, "/")
	l.made++
	l.implied[to] = l.made
	return l.unpacker.implied(to)
}

// uncover removes a whiteout that the layer puts a folder in the place of; the folder hides what is below it.
func (l *layer) uncover(name string) error {
	if err := l.enter(path.Dir(name)); err != nil {
		return err
	}
	if err := unix.Unlinkat(l.parent, path.Base(name), 0); err != nil {
		return err
	}
	delete(l.whiteouts, name)
	l.opaque[name] = struct{}{}
	return nil
}

// hide makes a whiteout in the open folder. What the layer itself has put there stays: whiteouts are for those below.
func (l *layer) hide(dir, base string) error {
	if base == opaqueMark {
		l.opaque[dir] = struct{}{}
		return nil
	}
	if strings.HasPrefix(base, whiteoutMeta) {
		return nil
	}
	hidden := strings.TrimPrefix(base, whiteout)
	if hidden == "" || hidden == "." || hidden == ".." {
		return breakout("whiteout name", path.Join(dir, base))
	}
	name := path.Join(dir, hidden)
	st, err := fstatat(l.parent, hidden)
	switch {
	case err == nil && isDir(&st):
		l.opaque[name] = struct{}{}
		return nil
	case err == nil:
		return nil
	case !errors.Is(err, unix.ENOENT):
		return fmt.Errorf("unpack /%s: %w", name, err)
	}
	if err := unix.Mknodat(l.parent, hidden, unix.S_IFCHR, 0); err != nil {
		return fmt.Errorf("unpack whiteout of /%s: %w", name, err)
	}
	l.whiteouts[name] = struct{}{}
	return nil
}

func (l *layer) finishLayer() error {
	l.report.Implied = slices.SortedFunc(maps.Keys(l.implied), func(a, b string) int { return l.implied[a] - l.implied[b] })
	l.report.Opaque = slices.Sorted(maps.Keys(l.opaque))
	return l.finishFolders()
}
