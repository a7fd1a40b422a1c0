package logfile

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// tailOffset is where the last n lines of the first size bytes begin, and how many of them are missing when there are
// fewer. It reads backwards, block by block, and only as far as it must. An unfinished line at the end does not count:
// it comes in addition.
func tailOffset(f io.ReaderAt, size int64, n int, block []byte) (offset int64, missing int, err error) {
	for end := size; end > 0; {
		from := max(0, end-int64(len(block)))
		p := block[:end-from]
		if _, err := f.ReadAt(p, from); err != nil {
			return 0, 0, fmt.Errorf("read log: %w", err)
		}
		for {
			i := bytes.LastIndexByte(p, '\n')
			if i < 0 {
				break
			}
			if n == 0 {
				return from + int64(i) + 1, 0, nil
			}
			n--
			p = p[:i]
		}
		end = from
	}
	return 0, n, nil
}

// plan finds where reading begins: in current, and in which of the older files, the oldest first.
func (r *Reader) plan(current *part) (before []*part, err error) {
	missing := r.o.Tail
	if missing >= 0 {
		if missing, err = r.tail(current, missing); err != nil || missing == 0 {
			return nil, err
		}
	}
	found, err := older(r.path, current, func(*part) bool { return false })
	if err != nil {
		return nil, err
	}
	for i, p := range found {
		last := p.lastTime()
		tooOld := !r.o.Since.IsZero() && !last.IsZero() && last.Before(r.o.Since)
		if missing > 0 && !tooOld {
			missing, err = r.tail(p, missing)
		}
		if err != nil {
			closeAll(found)
			return nil, err
		}
		if tooOld {
			closeAll(found[i:])
			found = found[:i]
			break
		}
		if missing == 0 {
			closeAll(found[i+1:])
			found = found[:i+1]
			break
		}
	}
	slices.Reverse(found)
	return found, nil
}

// tail sets where the last n lines of p begin, and returns how many of them are missing.
func (r *Reader) tail(p *part, n int) (missing int, err error) {
	if !p.packed {
		p.offset, missing, err = tailOffset(p.file, p.info.Size(), n, r.block)
		return missing, err
	}
	text, err := p.text()
	if err != nil {
		return 0, err
	}
	lines := 0
	for {
		got, err := text.Read(r.block)
		lines += bytes.Count(r.block[:got], []byte{'\n'})
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("read log: %w", err)
		}
	}
	p.skip = max(0, lines-n)
	return max(0, n-lines), nil
}
