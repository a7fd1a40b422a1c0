package logfile

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// packHeader is in the gzip header of a packed file, as in Docker: a reader that wants later entries passes over it.
type packHeader struct {
	LastTime time.Time `json:"lastTime"`
}

// errClosing ends a pack whose Writer is closed.
var errClosing = errors.New("the log is being closed")

// pack is the goroutine that compresses what rotation left, outside of the path of writes and of processes' ends.
func (a *appender) pack() {
	for {
		src := a.unpacked()
		if src == nil {
			return
		}
		err := a.packFile(src, a.path+packSuffix)
		if err == nil {
			err = a.place(src)
		}
		_ = src.Close()
		if err != nil { // a full disk, or closing: the next rotation tries again
			_ = os.Remove(a.path + packSuffix)
			a.mu.Lock()
			defer a.mu.Unlock()
			a.packing = false
			return
		}
	}
}

// unpacked opens the oldest file that is to be packed. Where there is none, pack is over.
func (a *appender) unpacked() *os.File {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := a.c.MaxFiles - 1; i > 0 && !a.closing; i-- {
		if f, err := os.Open(rotated(a.path, i)); err == nil {
			return f
		}
	}
	a.packing = false
	return nil
}

// packFile compresses src into path, durably: src is removed next.
func (a *appender) packFile(src *os.File, path string) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return fmt.Errorf("compress log: %w", err)
	}
	defer func() {
		if closeErr := out.Close(); err == nil {
			err = closeErr
		}
	}()
	z, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	last := lastTime(src)
	if z.Extra, err = json.Marshal(packHeader{last}); err != nil {
		return err
	}
	block := make([]byte, blockSize)
	for {
		n, readErr := src.Read(block)
		if _, err := z.Write(block[:n]); err != nil {
			return fmt.Errorf("compress log: %w", err)
		}
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			return fmt.Errorf("compress log: %w", readErr)
		}
		if a.mustEnd() {
			return errClosing
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress log: %w", err)
	}
	return out.Sync()
}

func (a *appender) mustEnd() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.closing
}

// place puts the packed file where src is by now: it may have moved on meanwhile.
func (a *appender) place(src *os.File) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	own, err := src.Stat()
	if err != nil {
		return err
	}
	for i := 1; i < a.c.MaxFiles; i++ {
		info, err := os.Stat(rotated(a.path, i))
		if err != nil || !os.SameFile(own, info) {
			continue
		}
		if err := os.Rename(a.path+packSuffix, rotated(a.path, i)+packedSuffix); err != nil {
			return err
		}
		return os.Remove(rotated(a.path, i))
	}
	return os.Remove(a.path + packSuffix) // it has become too old
}

// lastTime is that of the last entry of a file, zero when there is none.
func lastTime(f *os.File) time.Time {
	info, err := f.Stat()
	if err != nil {
		return time.Time{}
	}
	block := make([]byte, blockSize)
	offset, missing, err := tailOffset(f, info.Size(), 1, block)
	if err != nil || missing > 0 {
		return time.Time{}
	}
	line := make([]byte, info.Size()-offset)
	if _, err := f.ReadAt(line, offset); err != nil && err != io.EOF {
		return time.Time{}
	}
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	var e Entry
	var d decoder
	if d.decode(&e, line) != nil {
		return time.Time{}
	}
	return e.Time
}
