package acceptance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// look reads an image as the engine saves it, and describes it: its configuration, the history, and the entries of each
// layer that the small image does not have.
func (b *builder) look(ctx context.Context, name string) (string, error) {
	saved, err := b.engine.ImageSave(ctx, []string{name})
	if err != nil {
		return "", err
	}
	defer saved.Close()
	files := map[string][]byte{}
	for r := tar.NewReader(saved); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			return "", err
		}
	}
	var manifest []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		return "", err
	}
	return b.describe(files[manifest[0].Config], manifest[0].Layers, files)
}

// unzip reads what may be zipped: dockerd saves layers as they were unpacked, naru as they are stored.
func unzip(data []byte) (io.Reader, error) {
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return bytes.NewReader(data), nil
	}
	return gzip.NewReader(bytes.NewReader(data))
}

// layer reads a layer once, as that of the small image is in nearly all.
func (b *builder) layer(name string, data []byte) (layerTree, error) {
	if entries, ok := b.layers[name]; ok {
		return entries, nil
	}
	entries, err := readLayer(data)
	if err == nil && strings.HasPrefix(name, "blobs/") { // the others' names are not their digests
		b.layers[name] = entries
	}
	return entries, err
}

func (b *builder) describe(config []byte, layers []string, files map[string][]byte) (string, error) {
	var img ocispec.Image
	if err := json.Unmarshal(config, &img); err != nil {
		return "", err
	}
	var out strings.Builder
	if err := describeConfig(&out, config); err != nil {
		return "", err
	}
	var ids []string
	for _, id := range img.RootFS.DiffIDs {
		ids = append(ids, id.String())
	}
	skip := 0
	if len(ids) >= len(b.baseIDs) && slices.Equal(ids[:len(b.baseIDs)], b.baseIDs) {
		skip = len(b.baseIDs)
		out.WriteString("base\n")
	}
	history := img.History
	for i := skip; len(history) > 0 && i > 0; history = history[1:] {
		if !history[0].EmptyLayer {
			i--
		}
	}
	for _, h := range history {
		empty := ""
		if h.EmptyLayer {
			empty = "empty "
		}
		fmt.Fprintf(&out, "history: %s%q %q %q\n", empty, h.CreatedBy, h.Comment, h.Author)
	}
	below := layerTree{}
	for i, layer := range layers {
		entries, err := b.layer(layer, files[layer])
		if err != nil {
			return "", fmt.Errorf("layer %s: %w", layer, err)
		}
		if i >= skip {
			out.WriteString("layer\n" + below.changes(entries))
		}
		below.apply(entries)
	}
	return out.String(), nil
}

// describeConfig writes a line for each key of an image's configuration, but for times, history and layers.
func describeConfig(out *strings.Builder, config []byte) error {
	var all map[string]any
	if err := json.Unmarshal(config, &all); err != nil {
		return err
	}
	inner, _ := all["config"].(map[string]any)
	for _, key := range []string{"created", "history", "rootfs", "config"} {
		delete(all, key)
	}
	for _, part := range []struct {
		prefix string
		keys   map[string]any
	}{{"", all}, {"config.", inner}} {
		var lines []string
		for key, value := range part.keys {
			var text bytes.Buffer
			enc := json.NewEncoder(&text)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(value); err != nil {
				return err
			}
			lines = append(lines, part.prefix+key+": "+text.String())
		}
		out.WriteString(sortedUnique(lines))
	}
	return nil
}

// layerTree is the files of an image by their paths, each in a line. A layer is one too: what it removes has the line "gone".
type layerTree map[string]string

const (
	gone   = "gone"
	opaque = ".wh..wh..opq"
)

// readLayer reads a layer. The times are shown that a Dockerfile, a context or an archive gave.
func readLayer(layer []byte) (layerTree, error) {
	unzipped, err := unzip(layer)
	if err != nil {
		return nil, err
	}
	entries := layerTree{}
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		name := "/" + strings.Trim(strings.TrimPrefix(h.Name, "./"), "/")
		dir, file := path.Split(name)
		if removed, ok := strings.CutPrefix(file, ".wh."); ok && file != opaque {
			entries[dir+removed] = gone
			continue
		}
		if entries[name], err = describeEntry(h, r); err != nil {
			return nil, err
		}
	}
}

func describeEntry(h *tar.Header, content io.Reader) (string, error) {
	line := fmt.Sprintf("%c %04o %d:%d", tarKind(h.Typeflag), h.Mode&0o7777, h.Uid, h.Gid)
	switch h.Typeflag {
	case tar.TypeReg:
		data, err := io.ReadAll(content)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" %d", len(data)) + contentText(data)
	case tar.TypeLink, tar.TypeSymlink:
		line += " -> " + h.Linkname
	case tar.TypeChar, tar.TypeBlock:
		line += fmt.Sprintf(" %d,%d", h.Devmajor, h.Devminor)
	}
	if h.ModTime.Year() < 2015 {
		line += h.ModTime.UTC().Format(" 2006-01-02T15:04:05Z")
	}
	return line + attributes(h), nil
}

// changes are a layer's entries as lines. dockerd's differ also tells of folders whose content alone has changed, and removes
// all of a folder that was made anew where naru's names what went: that makes no other image.
func (below layerTree) changes(layer layerTree) string {
	var lines []string
	for name, entry := range below.explicit(layer) {
		if entry != below[name] {
			lines = append(lines, fmt.Sprintf("  %s %s\n", name, entry))
		}
	}
	return sortedUnique(lines)
}

// explicit is the layer with a line for each file that an opaque folder, or a file in a folder's place, hides.
func (below layerTree) explicit(layer layerTree) layerTree {
	out := layerTree{}
	for name, entry := range layer {
		dir, file := path.Split(name)
		if file != opaque {
			out[name] = entry
			continue
		}
		for old := range below {
			if _, again := layer[old]; !again && path.Dir(old)+"/" == dir {
				out[old] = gone
			}
		}
	}
	return out
}

// apply makes what is below what is there after the layer.
func (below layerTree) apply(layer layerTree) {
	for name, entry := range below.explicit(layer) {
		if !strings.HasPrefix(entry, "d") {
			for old := range below {
				if strings.HasPrefix(old, name+"/") {
					delete(below, old)
				}
			}
		}
		below[name] = entry
		if entry == gone {
			delete(below, name)
		}
	}
}

func tarKind(flag byte) byte {
	kinds := map[byte]byte{tar.TypeReg: 'f', tar.TypeDir: 'd', tar.TypeSymlink: 'l', tar.TypeLink: 'h', tar.TypeFifo: 'p', tar.TypeChar: 'c', tar.TypeBlock: 'b'}
	if kind, ok := kinds[flag]; ok {
		return kind
	}
	return flag
}

// contentText is a file's content where that is short, else its digest.
func contentText(data []byte) string {
	if len(data) <= 3000 && !bytes.ContainsRune(data, 0) {
		return fmt.Sprintf(" %q", data)
	}
	return fmt.Sprintf(" sha256:%x", sha256.Sum256(data))
}

func attributes(h *tar.Header) (text string) {
	var found []string
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			found = append(found, fmt.Sprintf(" %s=%q", name, value))
		}
	}
	return sortedUnique(found)
}

func sortedUnique(lines []string) string {
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "")
}

var errorNoise = regexp.MustCompile(`(/[\w.-]+)+/(merged|buildkit[0-9]+)/|sha256:[0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-z]{25}|dockerfile2llb:.*|\(did you mean .*\)`)

// plainError is an error's text in one line, without what is different each time.
func plainError(err error) string {
	return strings.ReplaceAll(errorNoise.ReplaceAllString(err.Error(), "…"), "\n", `\n`)
}
