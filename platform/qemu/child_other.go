//go:build !linux

package qemu

import "os/exec"

// child is a process that we started. Only Linux has a word for "dies with its parent"; the backends of macOS and
// Windows will need a kqueue watcher and a job object for it.
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how, once done is closed
}

func startChild(cmd *exec.Cmd) (*child, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, done: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

func (c *child) kill() { _ = c.cmd.Process.Kill() }
