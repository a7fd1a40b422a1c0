package container

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"

	"naru/guest/keeper/keeperapi"
)

// Exit codes of what never ran, as in Docker and every shell.
const (
	exitNotStarted = 128
	exitNotInvoked = 126
	exitNotFound   = 127
)

// crun's words for a program that is not there, and for one that may not run.
var (
	crunNotFound = regexp.MustCompile("executable file `.*` not found|open executable: No such file or directory|exec[^:]*: No such file or directory")
	crunDenied   = regexp.MustCompile("the path `.*` exists but it is not executable|exec[^:]*: Permission denied")
	crunNotFile  = regexp.MustCompile("the path `.*` is not a regular file|exec[^:]*: Is a directory")
)

// explainStart returns the exit code of a container whose start failed and the error for the user. The docker CLI
// derives its own exit code from Docker's phrases in it.
func explainStart(cause error, arg string) (int, error) {
	var ke *keeperapi.Error
	if !errors.As(cause, &ke) || ke.Class != keeperapi.ClassRuntime {
		return exitNotStarted, cause
	}
	code, text := explainRuntime(ke.Stderr, ke.Message, arg)
	message := fmt.Sprintf("failed to create task for container: failed to create shim task: OCI runtime create failed: %s: unknown", text)
	if code == exitNotStarted {
		return code, errdefs.ErrUnknown.WithMessage(message)
	}
	return code, errdefs.ErrInvalidArgument.WithMessage(message)
}

// explainRuntime turns what crun printed into Docker's words.
func explainRuntime(stderr, message, arg string) (code int, text string) {
	said := lastLine(stderr)
	if said == "" {
		return exitNotStarted, message
	}
	const prefix = "crun: unable to start container process: "
	switch {
	case strings.Contains(said, "/attr/"): // the file's name ends in "exec"
		return exitNotStarted, prefix + "unable to apply apparmor profile: " + said
	case crunNotFound.MatchString(said):
		if strings.Contains(arg, "/") {
			return exitNotFound, prefix + fmt.Sprintf("exec: %q: stat %s: no such file or directory", arg, arg)
		}
		return exitNotFound, prefix + fmt.Sprintf("exec: %q: executable file not found in $PATH", arg)
	case crunDenied.MatchString(said):
		return exitNotInvoked, prefix + fmt.Sprintf("exec: %q: permission denied", arg)
	case crunNotFile.MatchString(said):
		return exitNotInvoked, prefix + fmt.Sprintf("exec: %q: is a directory: permission denied", arg)
	}
	return exitNotStarted, said
}

// lastLine is the error that crun ended with, without the time stamp it prints in some formats.
func lastLine(stderr string) string {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// explainExec is explainStart for an exec.
func explainExec(cause error, arg string) (int, error) {
	var ke *keeperapi.Error
	if !errors.As(cause, &ke) || ke.Class != keeperapi.ClassRuntime {
		return exitNotInvoked, cause
	}
	code, text := explainRuntime(ke.Stderr, ke.Message, arg)
	message := fmt.Sprintf("OCI runtime exec failed: exec failed: %s: unknown", text)
	if code == exitNotStarted {
		return code, errdefs.ErrUnknown.WithMessage(message)
	}
	return code, errdefs.ErrInvalidArgument.WithMessage(message)
}
