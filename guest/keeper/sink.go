package keeper

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// maxSink is the size of keeper.log, in bytes, at which it becomes keeper.log.1 and a new one begins.
const maxSink = 8 << 20

// sink is the log file of keeper and engine. Whatever happens to the file, a Write succeeds: a full disk must stop
// neither of them.
type sink struct {
	path string
	also io.Writer // nil for none

	mu   sync.Mutex // guards all below
	file *os.File
	size int64
}

func openSink(path string, also io.Writer) (*sink, error) {
	s := &sink{path: path, also: also}
	return s, s.open()
}

func (s *sink) open() error {
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("open log: %w", err)
	}
	s.file, s.size = f, info.Size()
	return nil
}

// Write appends whole lines.
func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size > maxSink && os.Rename(s.path, s.path+".1") == nil {
		old := s.file
		if s.open() == nil {
			_ = old.Close()
		}
	}
	n, _ := s.file.Write(p)
	s.size += int64(n)
	if s.also != nil {
		_, _ = s.also.Write(p)
	}
	return len(p), nil
}

func (s *sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file.Close()
}
