package machine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"naru/platform/ipc"
	"naru/platform/paths"
)

// Started is the one line that naru-machine writes to its stdout: once it listens, or when it cannot.
type Started struct {
	Locked bool   `json:"locked,omitempty"` // another naru-machine has the lock
	Error  string `json:"error,omitempty"`
}

// spawn starts naru-machine in a session of its own and waits until it listens on its sockets.
func spawn(ctx context.Context, home paths.Home) error {
	exe, err := DaemonPath()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(home.Machine(), 0o700); err != nil {
		return fmt.Errorf("make the machine's folder: %w", err)
	}
	if err := firstSettings(home); err != nil {
		return err
	}
	if err := boundLog(home.MachineLog()); err != nil {
		return fmt.Errorf("rotate the machine's log: %w", err)
	}
	log, err := os.OpenFile(home.MachineLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the machine's log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(exe, "run", "--home", home.String())
	cmd.Dir = home.Machine() // keep no folder of the user's busy
	cmd.Stderr = log
	cmd.SysProcAttr = detached()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start naru-machine: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = out.Close() })()
	line, readErr := bufio.NewReader(out).ReadString('\n')
	_ = out.Close()
	go func() { _ = cmd.Wait() }() // ends with the daemon or with this process, whichever is first
	var started Started
	if err := json.Unmarshal([]byte(line), &started); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("start naru-machine: it ended at once (%w); its log is %s", errors.Join(readErr, err), home.MachineLog())
	}
	switch {
	case started.Locked:
		return ipc.ErrLocked
	case started.Error != "":
		return fmt.Errorf("start naru-machine: %s", started.Error)
	}
	return nil
}

// maxLog is the size in bytes at which a start begins a new log; one older one is kept.
const maxLog = 4 << 20

func boundLog(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() < maxLog {
		return nil
	}
	return os.Rename(path, path+".1")
}

// EnvDaemon names another naru-machine to start.
const EnvDaemon = "NARU_MACHINE"

// DaemonPath finds naru-machine: where NARU_MACHINE says, beside this program, or in PATH.
func DaemonPath() (string, error) {
	if path := os.Getenv(EnvDaemon); path != "" {
		return path, nil
	}
	name := "naru-machine"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	self, err := os.Executable()
	if err == nil {
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		if path := filepath.Join(filepath.Dir(self), name); isFile(path) {
			return path, nil
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s is neither beside %s nor in PATH", strings.TrimSuffix(name, ".exe"), filepath.Base(self))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
