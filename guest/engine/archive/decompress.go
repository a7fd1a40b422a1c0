package archive

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// maxWindow bounds what a decompressor holds of what it has written, in bytes. `xz -9` uses 64 MiB, `zstd --ultra -22` 128.
const maxWindow = 128 << 20

var formats = []struct {
	magic []byte
	open  func(io.Reader) (io.ReadCloser, error)
}{
	{[]byte{0x1f, 0x8b, 0x08}, func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }},
	{[]byte{0x28, 0xb5, 0x2f, 0xfd}, openZstd},
	{[]byte("BZh"), func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }},
	{[]byte{0xfd, '7', 'z', 'X', 'Z', 0}, func(r io.Reader) (io.ReadCloser, error) {
		z, err := xz.NewReader(r, maxWindow)
		return io.NopCloser(z), err
	}},
}

func openZstd(r io.Reader) (io.ReadCloser, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}

// skippable reports whether the frame is one of zstd's that hold no data and can come first: 0x184D2A50 to 5F.
func skippable(head []byte) bool {
	return len(head) >= 4 && head[0]&0xf0 == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18
}

// Decompress returns what r holds: as it is, or out of gzip, bzip2, xz or zstd, told by its first bytes. No other program is
// run for it. The caller closes the result, which does not close r.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	buf := bufio.NewReaderSize(r, 64<<10)
	head, err := buf.Peek(6)
	if err != nil && err != io.EOF {
		return nil, err
	}
	for _, f := range formats {
		if !bytes.HasPrefix(head, f.magic) {
			continue
		}
		d, err := f.open(buf)
		if err != nil {
			return nil, badArchive(err)
		}
		return d, nil
	}
	if skippable(head) {
		d, err := openZstd(buf)
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		return d, nil
	}
	return io.NopCloser(buf), nil
}
