package acceptance

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminal is a program on a real pseudo-terminal, as a user sees it.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	tty  *os.File
	done chan struct{} // closed when the program has closed the terminal

	mu   sync.Mutex // guards seen
	more *sync.Cond // signalled when seen grows or the terminal is closed
	seen string
	next int  // how much of seen expect has consumed; used by the test's goroutine alone
	over bool // no more will be seen
}

// terminal starts a command of w on a terminal of 33 rows and 77 columns.
func (w *world) terminal(t *testing.T, env []string, name string, args ...string) *terminal {
	t.Helper()
	c := &terminal{t: t, cmd: exec.CommandContext(t.Context(), name, args...), done: make(chan struct{})}
	c.more = sync.NewCond(&c.mu)
	c.cmd.Dir, c.cmd.Env = w.work, append(w.env[:len(w.env):len(w.env)], env...)
	tty, err := pty.StartWithSize(c.cmd, &pty.Winsize{Rows: 33, Cols: 77})
	if err != nil {
		t.Fatal(err)
	}
	c.tty = tty
	go c.read()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // an error says that it has ended
		_ = c.tty.Close()
		<-c.done
	})
	return c
}

func (c *terminal) read() {
	defer close(c.done)
	b := make([]byte, 4096)
	for {
		n, err := c.tty.Read(b)
		c.mu.Lock()
		c.seen += string(b[:n])
		c.over = err != nil // EIO: the program has ended
		c.more.Broadcast()
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *terminal) send(text string) {
	c.t.Helper()
	if _, err := c.tty.WriteString(text); err != nil {
		c.t.Fatal(err)
	}
}

// expect waits until text appears after what was expected before.
func (c *terminal) expect(text string) {
	c.t.Helper()
	late := false
	timer := time.AfterFunc(caseTime, func() {
		c.mu.Lock()
		late = true
		c.more.Broadcast()
		c.mu.Unlock()
	})
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if i := strings.Index(c.seen[c.next:], text); i >= 0 {
			c.next += i + len(text)
			return
		}
		if late || c.over {
			c.t.Fatalf("%v: no %q on the terminal, which shows %q", c.cmd.Args, text, c.seen)
		}
		c.more.Wait()
	}
}

// exit waits for the program's end and returns its exit code.
func (c *terminal) exit() int {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(caseTime):
		c.t.Fatalf("%v does not end", c.cmd.Args)
	}
	_ = c.cmd.Wait() // the code says it
	return c.cmd.ProcessState.ExitCode()
}

// testTerminal is `run -it`, `exec -it`, detach and attach as a user types them.
func testTerminal(t *testing.T, w *world, env []string, img, name string) {
	c := w.terminal(t, env, "docker", "run", "-it", "--name", name, "-e", "PS1=ready> ", img, "bash", "--norc")
	c.expect("ready> ")
	c.send("until [ \"$(stty size)\" = '33 77' ]; do sleep 0.05; done; tty\r")
	c.expect("/dev/pts/0\r\n")
	if err := pty.Setsize(c.tty, &pty.Winsize{Rows: 40, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	c.send("until [ \"$(stty size)\" = '40 100' ]; do sleep 0.05; done; echo resized-$((1+1))\r")
	c.expect("resized-2\r\n")
	c.send("bash -c 'echo asleep-$((1+1)); exec sleep 1000'\r")
	c.expect("asleep-2\r\n")
	c.send("\x03") // to the shell's child, not to the docker CLI
	c.expect("ready> ")

	// CLIs before 23 tell the size only after the start.
	e := w.terminal(t, env, "docker", "exec", "-it", name, "sh", "-c", "until [ \"$(stty size)\" = '33 77' ]; do sleep 0.05; done; echo sized; read line; echo got $line; exit 5")
	e.expect("sized\r\n")
	e.send("word\r")
	e.expect("got word\r\n")
	if code := e.exit(); code != 5 {
		t.Errorf("exec -it ends with %d, want 5", code)
	}

	c.send("\x10\x11") // ctrl-p ctrl-q
	if code := c.exit(); code != 0 {
		t.Errorf("detaching ends with %d", code)
	}
	a := w.terminal(t, env, "docker", "attach", name)
	a.send("\recho back-$((1+1)); exit 42\r")
	a.expect("back-2\r\n")
	if code := a.exit(); code != 42 {
		t.Errorf("attach ends with %d, want 42", code)
	}
}
