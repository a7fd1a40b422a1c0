// Package layer applies the layers of images. Each is unpacked by a child process of its own, this program run again, for
// which the layer's folder is the whole file system:
//
//	engine ──── blob, options ───▶ child: own mount and pid namespaces, pivot_root, no network, 7 capabilities, seccomp
//	   ◀─ digest, sizes, opaque and implied folders ─┘
//
// So what a layer makes the decompressor or the unpacker do stays in its folder. Only what needs the layers below, or a
// right that the child does not have, is done here afterwards, by descriptor.
package layer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"naru/guest/engine/archive"
)

// Budget bounds what a layer may ask for.
type Budget struct {
	archive.LayerBudget
	Ratio int64 // how many times larger than its blob a layer may be; from FreeRatio bytes on
}

// FreeRatio is how large a layer may be, in bytes, whatever its ratio.
const FreeRatio = 1 << 30

// DefaultBudget is far above what images hold. deflate reaches 1,032 on zeros; bzip2 and zstd go far beyond.
var DefaultBudget = Budget{
	LayerBudget: archive.LayerBudget{Size: 256 << 30, Entries: 8 << 20, NameLength: unix.PathMax - 1, Depth: 1024, Attributes: 128 << 10},
	Ratio:       2000,
}

// Request is a layer to be applied.
type Request struct {
	Blob     *os.File // as it came, compressed or not; its offset is moved
	Size     int64    // of the blob, bytes
	Dir      string   // empty folder to unpack into
	Budget   Budget
	Progress func(read int64) // of the blob, from time to time; nil for none
}

// Result is what a layer was.
type Result struct {
	DiffID digest.Digest // of all bytes of the uncompressed layer
	Size   int64         // their number
}

// answer is what the child says at its end.
type answer struct {
	Result
	Report archive.LayerReport
	Error  string
	Errno  syscall.Errno // within the error; 0 for none
	Class  string        // "invalid" when the layer is to blame
}

// maxAnswer bounds what is read of it, in bytes.
const maxAnswer = 64 << 20

// progressEvery is how often Progress is told.
const progressEvery = 100 * time.Millisecond

// Rest is what remains to be done for an unpacked layer once those below it are there and finished.
type Rest struct{ report archive.LayerReport }

// Unpack unpacks a layer, but for what needs the layers below: the caller calls Finish. After an error the folder holds anything
// and is to be removed. Safe for concurrent use.
func Unpack(ctx context.Context, r Request) (Result, Rest, error) {
	a, err := run(ctx, r)
	if err != nil {
		return Result{}, Rest{}, err
	}
	if a.Error != "" {
		return Result{}, Rest{}, a.err()
	}
	return a.Result, Rest{a.Report}, nil
}

// run has the child unpack.
func run(ctx context.Context, r Request) (a answer, err error) {
	options, err := json.Marshal(childOptions{Dir: r.Dir, BlobSize: r.Size, Budget: r.Budget})
	if err != nil {
		return a, err
	}
	answers, theirs, err := os.Pipe()
	if err != nil {
		return a, err
	}
	defer answers.Close()
	defer theirs.Close()
	// The child dies with the thread that started it: with the engine.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{childName}
	cmd.Env = []string{"GOGC=50"}
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(options)
	var complaint tail
	cmd.Stderr = &complaint
	cmd.ExtraFiles = []*os.File{r.Blob, theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL, Setsid: true}
	if err := cmd.Start(); err != nil {
		return a, fmt.Errorf("start unpacking: %w", err)
	}
	theirs.Close()
	done := make(chan error, 1)
	go func() { done <- json.NewDecoder(io.LimitReader(answers, maxAnswer)).Decode(&a) }()
	err = follow(r, done)
	waitErr := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return a, context.Cause(ctx)
	case waitErr != nil:
		return a, fmt.Errorf("the process that unpacks the layer ended early: %w%s", waitErr, complaint.text())
	case err != nil:
		return a, fmt.Errorf("answer of the process that unpacks the layer: %w", err)
	}
	return a, nil
}

// follow waits for the answer and tells of the progress meanwhile: the blob's offset is the child's, too.
func follow(r Request, done <-chan error) error {
	if r.Progress == nil {
		return <-done
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			r.Progress(r.Size)
			return err
		case <-tick.C:
			if n, err := r.Blob.Seek(0, io.SeekCurrent); err == nil {
				r.Progress(n)
			}
		}
	}
}

func (a answer) err() error {
	if a.Errno != 0 {
		return &childError{a.Error, a.Errno}
	}
	if a.Class == "invalid" {
		return errdefs.ErrInvalidArgument.WithMessage(a.Error)
	}
	return errors.New(a.Error)
}

// childError is an error of the child's that a system call caused.
type childError struct {
	text  string
	errno syscall.Errno
}

func (e *childError) Error() string { return e.text }
func (e *childError) Unwrap() error { return e.errno }

// tail keeps the beginning of what the child says when it dies.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p[:min(len(p), max(0, 4<<10-len(t.b)))]...)
	return len(p), nil
}

func (t *tail) text() string {
	line, _, _ := strings.Cut(string(t.b), "\n")
	if line == "" {
		return ""
	}
	return ": " + line
}
