package logfile

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// part is one file of a log, open for reading.
type part struct {
	file   *os.File
	info   fs.FileInfo
	packed bool
	// offset is where to begin; skip, in a packed one, how many lines to leave out.
	offset int64
	skip   int
}

func (p *part) close() { _ = p.file.Close() }

// openPart opens file number i of a log, packed or not. fs.ErrNotExist when there is none.
func openPart(path string, i int) (*part, error) {
	for _, suffix := range []string{"", packedSuffix} {
		if i == 0 && suffix != "" {
			break
		}
		f, err := os.Open(rotated(path, i) + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
		info, err := f.Stat()
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("open log: %w", err)
		}
		return &part{file: f, info: info, packed: suffix != ""}, nil
	}
	return nil, fmt.Errorf("open log: %w", &fs.PathError{Op: "open", Path: rotated(path, i), Err: fs.ErrNotExist})
}

// text reads the part's records from its beginning.
func (p *part) text() (io.Reader, error) {
	if !p.packed {
		return io.NewSectionReader(p.file, 0, 1<<62), nil
	}
	z, err := gzip.NewReader(io.NewSectionReader(p.file, 0, 1<<62))
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	return z, nil
}

// same tells whether q is p, by then perhaps under another number or packed. Two files of one log never begin at the
// same time, see Writer.stamp.
func (p *part) same(q *part) bool {
	if p.packed == q.packed {
		return os.SameFile(p.info, q.info)
	}
	first := p.firstTime()
	return !first.IsZero() && first.Equal(q.firstTime())
}

// firstTime is that of the first entry, zero when there is none.
func (p *part) firstTime() time.Time {
	text, err := p.text()
	if err != nil {
		return time.Time{}
	}
	block := make([]byte, 2*MaxLine)
	n, _ := io.ReadFull(text, block)
	var e Entry
	var d decoder
	for line := range strings.Lines(string(block[:n])) {
		if d.decode(&e, []byte(line)) == nil {
			return e.Time
		}
	}
	return time.Time{}
}

// lastTime is that of the last entry, zero when that is not known.
func (p *part) lastTime() time.Time {
	if !p.packed {
		return lastTime(p.file)
	}
	z, err := gzip.NewReader(io.NewSectionReader(p.file, 0, 1<<62))
	if err != nil {
		return time.Time{}
	}
	var h packHeader
	_ = json.Unmarshal(z.Extra, &h) // another program's has none
	return h.LastTime
}

// oldest is the highest number of a file of the log.
func oldest(path string) (most int) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return 0
	}
	for _, entry := range entries {
		rest, ok := strings.CutPrefix(entry.Name(), filepath.Base(path)+".")
		if !ok {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSuffix(rest, packedSuffix)); err == nil {
			most = max(most, n)
		}
	}
	return most
}

// older opens the files of a log that came before current, the newest first, up to one that stop knows, which is left
// out. A rotation meanwhile moves files the way that we go: they are met again, and passed over. When current itself is
// met, what was found so far were files that came after it; those before it are still ahead.
func older(path string, current *part, stop func(*part) bool) (found []*part, err error) {
	met := false
	last := oldest(path)
	for i, missing := 1, 0; i <= last || missing < 2; i++ {
		p, err := openPart(path, i)
		if errors.Is(err, fs.ErrNotExist) {
			if missing++; i <= last {
				missing = 0
			}
			continue
		}
		if err != nil {
			closeAll(found)
			return nil, err
		}
		missing = 0
		if p.same(current) {
			p.close()
			closeAll(found)
			found, met = nil, true
			continue
		}
		if slices.ContainsFunc(found, p.same) {
			p.close()
			continue
		}
		if stop(p) {
			p.close()
			break
		}
		found = append(found, p)
	}
	if !met {
		found = withoutNewer(path, current, found)
	}
	return found, nil
}

// withoutNewer is for a log that was rotated so fast that current has gone already, and was not met.
func withoutNewer(path string, current *part, found []*part) []*part {
	if now, err := os.Stat(path); err != nil || os.SameFile(now, current.info) {
		return found
	}
	first := current.firstTime()
	return slices.DeleteFunc(found, func(p *part) bool {
		newer := !first.IsZero() && p.firstTime().After(first)
		if newer {
			p.close()
		}
		return newer
	})
}

func closeAll(parts []*part) {
	for _, p := range parts {
		p.close()
	}
}
