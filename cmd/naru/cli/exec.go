package cli

import (
	"context"
	"errors"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"

	"naru/cmd/naru/runflags"
	"naru/cmd/naru/terminal"
	"naru/host/client"
)

// execution are the flags of `exec`.
type execution struct {
	req           container.ExecCreateRequest
	detach, stdin bool
	keys          string
}

func (a *app) execCommand() *cobra.Command {
	o := &execution{}
	cmd := &cobra.Command{
		Use: "exec [OPTIONS] CONTAINER COMMAND [ARG...]", Short: "Execute a command in a running container", Args: atLeast(2),
		Example:           "  naru exec -it web sh\n  naru exec -u www-data -w /srv -e DEBUG=1 web make test",
		ValidArgsFunction: a.completeContainers(1, isRunning),
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.BoolVarP(&o.detach, "detach", "d", false, "Detached mode: run command in the background")
	f.BoolVarP(&o.stdin, "interactive", "i", false, "Keep STDIN open even if not attached")
	f.BoolVarP(&o.req.Tty, "tty", "t", false, "Allocate a pseudo-TTY")
	f.StringVarP(&o.req.User, "user", "u", "", `Username or UID (format: "<name|uid>[:<group|gid>]")`)
	f.BoolVar(&o.req.Privileged, "privileged", false, "Give extended privileges to the command")
	f.StringVarP(&o.req.WorkingDir, "workdir", "w", "", "Working directory inside the container")
	f.StringVar(&o.keys, "detach-keys", "", "Override the key sequence for detaching a container")
	env := runflags.EnvFlags(f)
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) (err error) {
		if o.req.Env, err = env(); err != nil {
			return withCode(codeEngine, err)
		}
		o.req.Cmd = args[1:]
		return a.exec(cmd.Context(), c, args[0], o)
	})
	return cmd
}

func (a *app) exec(ctx context.Context, c *client.Client, name string, o *execution) error {
	req := &o.req
	if !o.detach {
		req.AttachStdout, req.AttachStderr, req.AttachStdin = true, true, o.stdin
		if req.Tty && o.stdin && !terminal.Is(a.in) {
			return errors.New("cannot attach stdin to a TTY-enabled container because stdin is not a terminal")
		}
	}
	if rows, cols, ok := terminal.Size(a.out); ok && req.Tty {
		req.ConsoleSize = &[2]uint{rows, cols}
	}
	keys, err := detachKeys(o.keys)
	if err != nil {
		return err
	}
	req.DetachKeys = o.keys
	id, err := c.ExecCreate(ctx, name, *req)
	if err != nil {
		return err
	}
	if o.detach {
		return execFailure(c.ExecStart(ctx, id, req.Tty))
	}
	stream, err := c.ExecAttach(ctx, id, req.Tty, req.ConsoleSize)
	if err != nil {
		return execFailure(err)
	}
	defer stream.Close()
	err = a.copyStreams(ctx, stream, streams{
		tty: req.Tty, stdin: o.stdin, out: a.out, err: a.err, keys: keys,
		resize: func(ctx context.Context, rows, cols uint) error { return c.ExecResize(ctx, id, rows, cols) },
	})
	if errors.Is(err, terminal.ErrDetached) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.execResult(ctx, c, id)
}

// execFailure is the error of an exec that did not start.
func execFailure(err error) error {
	if err == nil {
		return nil
	}
	if code := commandCode(err.Error()); code != 0 {
		return &exitError{code, err}
	}
	return err
}

// execResult asks how the process ended.
func (a *app) execResult(ctx context.Context, c *client.Client, id string) error {
	info, err := c.ExecInspect(ctx, id)
	if err != nil {
		return err
	}
	if info.ExitCode == nil {
		return errors.New("the engine closed the streams of a process that still runs")
	}
	return exitCode(*info.ExitCode)
}
