// Package transfer puts the machine's data disk into one file, and makes a data disk of such a file. The file is a tar
// under zstd: first Header as JSON, then the parts of the disk that hold something, each named by its offset and at most
// partSize long, and last an empty part at the disk's end, which tells that the file is whole. What is zero is left out.
package transfer

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"naru/platform/ipc"
	"naru/platform/paths"
)

// Format is the version of the file that this program writes and the newest it reads.
const Format = 1

// Header is the first entry, named headerName.
type Header struct {
	Format int    `json:"format"`
	Size   int64  `json:"size"` // of the disk, in bytes
	Naru   string `json:"naru"` // version that wrote it
}

const (
	headerName = "naru-machine.json"
	partName   = "data/" // and the offset in decimal
	partSize   = 4 << 20
	blockSize  = 64 << 10 // what is looked at for zeroes
	maxDisk    = 1 << 46
)

// Export writes the data disk of home to w. The machine must be stopped, and stays so meanwhile.
func Export(home paths.Home, version string, w io.Writer) (err error) {
	unlock, err := hold(home, "export")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	disk, err := os.Open(home.MachineData())
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("export: the machine has no data yet")
	}
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer disk.Close()
	info, err := disk.Stat()
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return err
	}
	e := &exporter{disk: disk, size: info.Size(), out: tar.NewWriter(z)}
	if err := errors.Join(e.write(version), e.out.Close(), z.Close()); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// hold takes the machine's lock, which a machine that runs has.
func hold(home paths.Home, what string) (unlock func() error, err error) {
	if err := os.MkdirAll(home.Machine(), 0o700); err != nil {
		return nil, err
	}
	lock, err := ipc.TryLock(home.MachineLock())
	if errors.Is(err, ipc.ErrLocked) {
		return nil, fmt.Errorf("%s: the machine runs; `naru machine stop` stops it", what)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return lock.Unlock, nil
}

type exporter struct {
	disk *os.File
	size int64
	out  *tar.Writer
}

func (e *exporter) write(version string) error {
	head, err := json.Marshal(Header{Format: Format, Size: e.size, Naru: version})
	if err != nil {
		return err
	}
	if err := e.entry(headerName, head); err != nil {
		return err
	}
	buf := make([]byte, partSize)
	for at := int64(0); at < e.size; {
		if at, err = nextData(e.disk, at); err != nil {
			return err
		}
		if at >= e.size {
			break
		}
		part := buf[:min(partSize, e.size-at)]
		if _, err := e.disk.ReadAt(part, at); err != nil {
			return err
		}
		if err := e.part(at, part); err != nil {
			return err
		}
		at += int64(len(part))
	}
	return e.entry(partName+strconv.FormatInt(e.size, 10), nil)
}

// part writes those runs of blocks of a part that are not zero.
func (e *exporter) part(at int64, part []byte) error {
	var zero [blockSize]byte
	for len(part) > 0 {
		n := 0
		for n < len(part) {
			block := part[n:min(n+blockSize, len(part))]
			if bytes.Equal(block, zero[:len(block)]) {
				break
			}
			n += len(block)
		}
		if n > 0 {
			if err := e.entry(partName+strconv.FormatInt(at, 10), part[:n]); err != nil {
				return err
			}
		}
		skip := min(n+blockSize, len(part)) // the block that ended the run is zero
		at, part = at+int64(skip), part[skip:]
	}
	return nil
}

func (e *exporter) entry(name string, data []byte) error {
	err := e.out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(data))})
	if err != nil {
		return err
	}
	_, err = e.out.Write(data)
	return err
}

// Import makes the data disk of home from r. It refuses when there is one: nothing is replaced. The disk gets its name
// only when it is whole and on the host's disk.
func Import(home paths.Home, r io.Reader) (err error) {
	unlock, err := hold(home, "import")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if _, err := os.Lstat(home.MachineData()); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("import: the machine has data already; `naru machine export` keeps it, `naru machine reset` removes it")
	}
	path := home.MachineData() + ".import"
	disk, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	err = read(disk, r)
	if err == nil {
		err = disk.Sync()
	}
	err = errors.Join(err, disk.Close())
	if err == nil {
		err = os.Rename(path, home.MachineData())
	}
	if err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("import: %w", err)
	}
	return nil
}

func read(disk *os.File, r io.Reader) error {
	z, err := zstd.NewReader(r, zstd.WithDecoderMaxMemory(256<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	in := tar.NewReader(z)
	head, err := readHeader(in)
	if err != nil {
		return err
	}
	if err := disk.Truncate(head.Size); err != nil {
		return err
	}
	for last := int64(0); ; {
		entry, err := in.Next()
		if errors.Is(err, io.EOF) {
			return errors.New("the file is cut short")
		}
		if err != nil {
			return err
		}
		at, err := strconv.ParseInt(strings.TrimPrefix(entry.Name, partName), 10, 64)
		if err != nil || !strings.HasPrefix(entry.Name, partName) || at < last || entry.Size > partSize || at > head.Size-entry.Size {
			return fmt.Errorf("the file is damaged: there is an entry %q of %d bytes", entry.Name, entry.Size)
		}
		if entry.Size == 0 && at == head.Size {
			_, err := io.Copy(io.Discard, z) // to the end, for the checksum
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(disk, at), in); err != nil {
			return err
		}
		last = at + entry.Size
	}
}

func readHeader(in *tar.Reader) (h Header, err error) {
	entry, err := in.Next()
	if err != nil || entry.Name != headerName || entry.Size > 1<<16 {
		return h, errors.New("this is not a file of naru machine export")
	}
	if err := json.NewDecoder(in).Decode(&h); err != nil {
		return h, fmt.Errorf("read %s: %w", headerName, err)
	}
	switch {
	case h.Format > Format:
		return h, fmt.Errorf("the file is of a newer naru (%s: format %d, this one knows %d)", h.Naru, h.Format, Format)
	case h.Format < 1 || h.Size < 0 || h.Size > maxDisk:
		return h, fmt.Errorf("the file is damaged: format %d, a disk of %d bytes", h.Format, h.Size)
	}
	return h, nil
}
