package acceptance

import (
	"archive/tar"
	"bytes"
	"io"
	"os/exec"
	"runtime"
)

// tarOf is an archive with one file.
func tarOf(path, text string, mode int64) io.ReadCloser {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: path, Mode: mode, Size: int64(len(text)), Format: tar.FormatPAX}); err != nil {
		panic(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return io.NopCloser(&b)
}

// startLocked starts cmd from a thread that stays: Pdeathsig fires when the starting thread ends, not the process.
func startLocked(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	started <- cmd.Start()
	_ = cmd.Wait()
	runtime.UnlockOSThread()
}
