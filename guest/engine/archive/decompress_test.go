package archive

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
)

// compressed are the same line in every form, by the form's name.
func compressed(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, form := range []string{"identity", "gzip", "bzip2", "xz"} {
		data, err := os.ReadFile(filepath.Join("testdata", "plain."+form))
		if err != nil {
			t.Fatal(err)
		}
		out[form] = data
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	out["zstd"] = z.EncodeAll(out["identity"], nil)
	out["zstd behind a skippable frame"] = append([]byte{0x51, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'}, out["zstd"]...)
	out["two members of gzip"] = append(bytes.Clone(out["gzip"]), out["gzip"]...)
	return out
}

func TestDecompress(t *testing.T) {
	forms := compressed(t)
	line := string(forms["identity"])
	for form, data := range forms {
		r, err := Decompress(bytes.NewReader(data))
		if err != nil {
			t.Errorf("%s: %v", form, err)
			continue
		}
		got, err := io.ReadAll(r)
		want := line
		if strings.HasPrefix(form, "two") {
			want += line
		}
		if err != nil || string(got) != want {
			t.Errorf("%s: %q %v", form, got, err)
		}
		must(t, r.Close())
	}
	if r, err := Decompress(strings.NewReader("")); err != nil {
		t.Errorf("nothing: %v", err)
	} else if got, err := io.ReadAll(r); len(got) > 0 || err != nil {
		t.Errorf("nothing: %q %v", got, err)
	}
	if _, err := Decompress(bytes.NewReader(forms["gzip"][:5])); !errdefs.IsInvalidArgument(err) {
		t.Errorf("the beginning of gzip: %v", err)
	}
}

// TestHugeDictionary: a stream that asks for more memory than it may is refused, before any of it is taken.
func TestHugeDictionary(t *testing.T) {
	// The header of an xz block with a dictionary of 4 GiB - 1, the largest there is (xz-file-format.txt, 5.3.1), and its CRC32.
	data := bytes.Clone(compressed(t)["xz"])
	block := data[12:24]
	if block[2] != 0x21 || block[3] != 1 {
		t.Fatalf("another block header than expected: % x", block)
	}
	block[4] = 40
	binary.LittleEndian.PutUint32(data[20:24], crc32.ChecksumIEEE(data[12:20]))
	r, err := Decompress(bytes.NewReader(data))
	if err == nil {
		_, err = io.ReadAll(r)
	}
	if err == nil {
		t.Error("a dictionary of 4 GiB was allowed")
	}
}
