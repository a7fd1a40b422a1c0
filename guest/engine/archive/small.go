package archive

import (
	"archive/tar"
	"io"
	"sync"

	"golang.org/x/sys/unix"
)

// smallSize is up to which size, in bytes, a file's content is held in memory.
const smallSize = 64 << 10

// smallWorkers write the content, each with two files at hand.
const smallWorkers = 2

// smallFiles complete small files beside the unpacker, which only makes them: of a layer of many, half of the work is there.
// Names are made in the archive's order by the unpacker alone. Only a link asks for more than the name of a file before it,
// and waits.
type smallFiles struct {
	jobs    chan smallFile
	buffers chan []byte
	workers sync.WaitGroup
	pending sync.WaitGroup // files that are not complete

	mu  sync.Mutex // guards err
	err error      // the first
}

// smallFile is one that is open, and its content.
type smallFile struct {
	u    *unpacker
	hdr  *tar.Header
	fd   int
	data []byte
}

func newSmallFiles() *smallFiles {
	s := &smallFiles{jobs: make(chan smallFile, smallWorkers), buffers: make(chan []byte, 2*smallWorkers)}
	for range cap(s.buffers) {
		s.buffers <- make([]byte, smallSize)
	}
	for range smallWorkers {
		s.workers.Go(func() {
			for f := range s.jobs {
				if err := f.complete(); err != nil {
					s.fail(f.u.entryError(f.hdr.Name, err))
				}
				s.buffers <- f.data[:smallSize]
				s.pending.Done()
			}
		})
	}
	return s
}

// stop ends the workers when they have completed what they have.
func (s *smallFiles) stop() {
	close(s.jobs)
	s.workers.Wait()
}

// file takes over fd, and returns what is known of the files before.
func (s *smallFiles) file(u *unpacker, hdr *tar.Header, fd int) error {
	data := (<-s.buffers)[:hdr.Size]
	if _, err := io.ReadFull(u.in, data); err != nil {
		s.buffers <- data[:smallSize]
		unix.Close(fd)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return u.readError(err)
	}
	s.pending.Add(1)
	s.jobs <- smallFile{u, hdr, fd, data}
	return s.failed()
}

func (f smallFile) complete() error {
	if err := writeAt(f.fd, f.data, 0); err != nil {
		unix.Close(f.fd)
		return err
	}
	if err := f.u.finish(f.hdr, f.fd); err != nil {
		unix.Close(f.fd)
		return err
	}
	return unix.Close(f.fd)
}

func (s *smallFiles) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

func (s *smallFiles) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// wait until all files are complete.
func (s *smallFiles) wait() error {
	if s == nil {
		return nil
	}
	s.pending.Wait()
	return s.failed()
}
