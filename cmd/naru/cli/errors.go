package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"naru/cmd/naru/terminal"
	"naru/host/client"
	"naru/host/direct"
	"naru/host/target"
)

// Exit codes beside the container's own; those of Docker.
const (
	codeFailed        = 1
	codeEngine        = 125 // a flag is wrong, or the engine refused to run the container
	codeNotExecutable = 126
	codeNotFound      = 127
)

// exitError ends with a code. With a nil err nothing is printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exitCode ends with a container's code and no words.
func exitCode(code int) error {
	if code == 0 {
		return nil
	}
	return &exitError{code: code}
}

// withCode ends with code where err does not say another one.
func withCode(code int, err error) error {
	var e *exitError
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &exitError{code: code, err: err}
}

// hinted is an error with something to do about it.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

// several are the errors of a command that goes on with its next argument.
type several []error

func (s several) Error() string { return errors.Join(s...).Error() }

// each runs f for every name and collects the errors.
func each(names []string, f func(name string) error) error {
	var errs several
	for _, name := range names {
		if err := f(name); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// interrupted says that a signal ended the command.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string { return "interrupted" }

func (i interrupted) code() int {
	if n, ok := i.signal.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return 130
}

// report is the one place that speaks to the user about an error. It returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return 0
	}
	var stopped interrupted
	if errors.As(err, &stopped) {
		return stopped.code()
	}
	code := codeFailed
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
		if exit.err == nil {
			return code
		}
	}
	var many several
	if !errors.As(err, &many) {
		many = several{err}
	}
	for _, err := range many {
		a.printError(err)
	}
	return code
}

func (a *app) printError(err error) {
	fmt.Fprintf(a.err, "naru: %s %s\n", a.red("error:"), strings.TrimSpace(err.Error()))
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(a.err, "naru: hint: %s\n", hint)
	}
}

// red marks a word on a terminal, unless the user wants no colours (https://no-color.org).
func (a *app) red(s string) string {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || !terminal.Is(a.err) {
		return s
	}
	return "\x1b[31m" + s + "\x1b[0m"
}

// hintFor is what the user can do, empty when there is nothing to say.
func hintFor(err error) string {
	var h *hinted
	if errors.As(err, &h) {
		return h.hint
	}
	var start *target.StartError
	if errors.As(err, &start) {
		return startHint(start)
	}
	var connect *client.ConnectError
	if errors.As(err, &connect) {
		return connectHint(connect)
	}
	return messageHint(err.Error())
}

func startHint(err *target.StartError) string {
	switch {
	case errors.Is(err, direct.ErrNotRoot):
		return "run it as root, with sudo; or in the VM: naru --context machine …"
	case errors.Is(err, direct.ErrUnsupported):
		return "use the VM: naru --context machine …"
	case err.Target.Name == target.Machine:
		return "naru machine logs"
	}
	return "naru engine status"
}

func connectHint(err *client.ConnectError) string {
	switch {
	case errors.Is(err, os.ErrPermission) && runtime.GOOS != "windows":
		return "run it as root, with sudo: the socket is its owner's alone"
	case os.Getenv(target.EnvDockerHost) == err.Endpoint && err.Endpoint != "":
		return "DOCKER_HOST names this engine; unset it to use naru's own"
	}
	return "naru context ls"
}

// messageHint finds something to do about what the engine said.
func messageHint(message string) string {
	has := func(words ...string) bool {
		for _, w := range words {
			if !strings.Contains(message, w) {
				return false
			}
		}
		return true
	}
	switch {
	case has("The container name", "is already in use"):
		if name := between(message, `name "/`, `"`); name != "" {
			return "naru rm " + name + ", or choose another --name"
		}
	case has("port is already allocated"), has("address already in use"):
		return "choose another host port: -p HOSTPORT:CONTAINERPORT; naru ps shows those of containers"
	case has("container is running: stop"), has("cannot remove container", "is running"), has("You cannot remove a running container"):
		return "naru rm -f stops it first"
	case has("is not shared with the machine"):
		_, dir, _ := strings.Cut(message, "machine: ")
		dir, _, _ = strings.Cut(dir, " (shared: ")
		return "naru machine stop && naru machine start --share " + cmp.Or(strings.TrimSpace(dir), "DIR")
	case has("No such container"):
		return "naru ps -a lists all containers"
	case has("manifest unknown"), has("pull access denied"), has("repository does not exist"):
		return "check the name and the tag; a private image needs naru login"
	case has("the engine does not start"):
		return "naru engine status names its log; it is tried again and again"
	case has("no space left on device"):
		return "naru rm, naru rmi and naru volume rm make room"
	}
	return ""
}

// between is what lies between two marks, empty when they are not there.
func between(s, from, to string) string {
	_, rest, ok := strings.Cut(s, from)
	if !ok {
		return ""
	}
	mid, _, ok := strings.Cut(rest, to)
	if !ok {
		return ""
	}
	return mid
}
