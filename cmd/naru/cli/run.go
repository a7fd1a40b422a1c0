package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"naru/cmd/naru/runflags"
	"naru/cmd/naru/terminal"
	"naru/host/client"
)

// running are the flags of `run` beside those of `create`.
type running struct {
	creation
	detach, proxy bool
	detachKeys    string
}

func (o *running) add(f *pflag.FlagSet) {
	o.creation.add(f)
	f.BoolVarP(&o.detach, "detach", "d", false, "Run container in background and print container ID")
	f.BoolVar(&o.proxy, "sig-proxy", true, "Proxy received signals to the process")
	f.StringVar(&o.detachKeys, "detach-keys", "", "Override the key sequence for detaching a container")
}

func (a *app) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "run [OPTIONS] IMAGE [COMMAND] [ARG...]", Short: "Create and run a new container from an image", Args: atLeast(1),
		ValidArgsFunction: a.completeImages(1),
	}
	o := &running{}
	if a.named("run") {
		o.add(cmd.Flags())
	}
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		req, err := o.Parse(args[0], args[1:])
		if err != nil {
			return withCode(codeEngine, usage(cmd, err))
		}
		return withCode(codeEngine, a.run(cmd, c, o, req))
	})
	return cmd
}

func (a *app) run(cmd *cobra.Command, c *client.Client, o *running, req *runflags.Result) error {
	if o.detach {
		if cmd.Flags().Changed("attach") {
			return withCode(codeFailed, errors.New("conflicting options: cannot specify both --attach and --detach"))
		}
		req.Config.AttachStdin, req.Config.AttachStdout, req.Config.AttachStderr, req.Config.StdinOnce = false, false, false, false
	} else if err := a.checkTerminal(req.Config); err != nil {
		return withCode(codeFailed, err)
	}
	keys, err := detachKeys(o.detachKeys)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	id, err := a.create(ctx, c, &o.creation, req)
	if err != nil {
		return err
	}
	if !req.Config.AttachStdin && !req.Config.AttachStdout && !req.Config.AttachStderr {
		if err := c.ContainerStart(ctx, id); err != nil {
			return startFailure(err)
		}
		fmt.Fprintln(a.out, id)
		return nil
	}
	s := &session{
		app: a, client: c, id: id, tty: req.Config.Tty, keys: keys, proxy: o.proxy,
		attach: client.AttachOptions{Stdin: req.Config.AttachStdin, Stdout: req.Config.AttachStdout, Stderr: req.Config.AttachStderr},
		wait:   container.WaitConditionNextExit,
		fresh:  true,
		start:  func(ctx context.Context) error { return c.ContainerStart(ctx, id) },
	}
	if req.HostConfig.AutoRemove {
		s.wait = container.WaitConditionRemoved
	}
	return s.run(ctx)
}

func detachKeys(s string) ([]byte, error) {
	if s == "" {
		s = terminal.DefaultDetachKeys
	}
	return terminal.ParseKeys(s)
}

// startFailure gives an error of a start Docker's exit code: what is missing or must not be run is told from the rest.
func startFailure(err error) error {
	if code := commandCode(err.Error()); code != 0 {
		return &exitError{code, err}
	}
	return &exitError{codeEngine, err}
}

// commandCode is 127 for a command that is not there, 126 for one that cannot be run, else 0.
func commandCode(message string) int {
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(message, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("executable file not found", "no such file or directory", "system cannot find the file specified"):
		return codeNotFound
	case has("permission denied", "is a directory", "exec format error"):
		return codeNotExecutable
	}
	return 0
}

// removalTime is how long the removal of a container that could not be started is waited for.
const removalTime = 10 * time.Second
