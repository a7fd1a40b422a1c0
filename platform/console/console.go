// Package console keeps what a guest's console says, within bounds.
package console

import (
	"fmt"
	"io"
	"os"
)

// limit is how much of the console a file keeps at least, in bytes; it holds at most twice that.
const limit = 1 << 20

// File is a file that forgets its older half when it is full: a guest that shouts does not fill the disk.
type File struct {
	f     *os.File
	size  int64
	limit int64
}

// Create makes the file anew.
func Create(path string) (*File, error) { return create(path, limit) }

func create(path string, limit int64) (*File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the console's log: %w", err)
	}
	return &File{f: f, limit: limit}, nil
}

// Write appends p, and forgets the oldest when there is too much.
func (b *File) Write(p []byte) (int, error) {
	if b.size+int64(len(p)) > 2*b.limit {
		if err := b.forget(); err != nil {
			return 0, err
		}
	}
	n, err := b.f.WriteAt(p, b.size)
	b.size += int64(n)
	return n, err
}

// forget keeps the last limit bytes.
func (b *File) forget() error {
	keep := make([]byte, min(b.limit, b.size))
	if _, err := b.f.ReadAt(keep, b.size-int64(len(keep))); err != nil && err != io.EOF {
		return err
	}
	if _, err := b.f.WriteAt(keep, 0); err != nil {
		return err
	}
	b.size = int64(len(keep))
	return b.f.Truncate(b.size)
}

// Close closes the file.
func (b *File) Close() error { return b.f.Close() }
