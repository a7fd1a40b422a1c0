// Package plugin runs Docker's own plug-ins, which lie beside naru: docker-buildx for builds and docker-compose. They are
// clients of the Docker API like any other, and read the user's Docker configuration; nothing is installed for them.
package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// Names of the plug-ins.
const (
	Buildx  = "docker-buildx"
	Compose = "docker-compose"
)

// MissingError says that a plug-in is not beside naru.
type MissingError struct{ Path string }

func (e *MissingError) Error() string { return e.Path + " is missing" }

// Run runs a plug-in against the engine at socket (a URL) with the caller's standard streams, and returns its exit code.
// Signals that reach us go on to it; those of the terminal's keys reach it without us.
func Run(ctx context.Context, name, socket string, args []string) (code int, err error) {
	path, err := find(name)
	if err != nil {
		return 0, err
	}
	config, err := newConfig(filepath.Dir(path))
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(config)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = environment(os.Environ(), socket, config)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", name, err)
	}
	defer passSignals(cmd.Process)()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		if code = exit.ExitCode(); code < 0 { // ended by a signal
			code = 1
		}
		return code, nil
	}
	return 0, err
}

func find(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", &MissingError{path}
	}
	return path, nil
}

// environment is env with the engine and the configuration set. A context of Docker's would win over DOCKER_HOST.
func environment(env []string, socket, config string) []string {
	var out []string
	for _, kv := range env {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG":
		default:
			out = append(out, kv)
		}
	}
	return append(out, "DOCKER_HOST="+socket, "DOCKER_CONFIG="+config)
}

// newConfig makes a folder that is the user's Docker configuration, but that plug-ins are also looked for in dir: Compose
// wants buildx. Everything in it but config.json are links to the user's own files.
func newConfig(dir string) (_ string, err error) {
	folder, err := os.MkdirTemp("", "naru-config-")
	if err != nil {
		return "", fmt.Errorf("make configuration: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(folder)
		}
	}()
	own := userConfig()
	content := map[string]any{}
	data, err := os.ReadFile(filepath.Join(own, "config.json"))
	if err == nil {
		err = json.Unmarshal(data, &content)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", filepath.Join(own, "config.json"), err)
	}
	dirs, _ := content["cliPluginsExtraDirs"].([]any)
	content["cliPluginsExtraDirs"] = append(dirs, dir)
	delete(content, "currentContext")
	if data, err = json.Marshal(content); err != nil {
		return "", fmt.Errorf("make configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "config.json"), data, 0o600); err != nil {
		return "", fmt.Errorf("make configuration: %w", err)
	}
	return folder, linkOthers(own, folder)
}

func userConfig() string {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".docker")
}

// linkOthers links what lies beside config.json. buildx keeps its own state there, which must not go with the folder: on
// systems that refuse links to ordinary users it starts afresh each time.
func linkOthers(own, folder string) error {
	if own != "" {
		_ = os.MkdirAll(filepath.Join(own, "buildx"), 0o700) // without a home there is nothing to keep
	}
	entries, err := os.ReadDir(own)
	if err != nil {
		return nil // no configuration
	}
	for _, e := range entries {
		if e.Name() == "config.json" {
			continue
		}
		if err := os.Symlink(filepath.Join(own, e.Name()), filepath.Join(folder, e.Name())); err != nil && runtime.GOOS != "windows" {
			return fmt.Errorf("make configuration: %w", err)
		}
	}
	return nil
}

// passSignals sends on what only we are sent. Ctrl-C reaches the whole group of processes by itself.
func passSignals(p *os.Process) (stop func()) {
	ch := make(chan os.Signal, 8)
	done := make(chan struct{})
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		defer close(done)
		for s := range ch {
			if s != os.Interrupt {
				_ = p.Signal(s) // it may have ended
			}
		}
	}()
	return func() {
		signal.Stop(ch)
		close(ch)
		<-done
	}
}
