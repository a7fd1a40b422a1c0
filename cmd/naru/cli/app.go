// Package cli is the verbs of the naru command: their flags, what they print and their exit codes. Each file holds one
// verb or a family of them. The work is done by the engine, which is reached through host/client; host/target says
// which engine that is, and starts it.
package cli

import (
	"context"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"naru/cmd/naru/progress"
	"naru/cmd/naru/terminal"
	"naru/host/client"
	"naru/host/target"
	"naru/platform/paths"
)

// app is one invocation.
type app struct {
	version string
	args    []string
	context string // --context
	in      *os.File
	out     *os.File
	err     *os.File

	cancel  context.CancelCauseFunc
	signals chan os.Signal

	client *client.Client // made by engine
	target target.Target  // valid once client is
}

// Main runs the command line and returns the exit code.
func Main(version string, args []string) int {
	a := &app{version: version, args: args, in: os.Stdin, out: os.Stdout, err: os.Stderr}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	a.cancel = cancel
	a.watchSignals()
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if a.client != nil {
		a.client.Close()
	}
	return a.report(err)
}

// watchSignals cancels the context at Ctrl-C, SIGTERM and SIGHUP; the second one ends the process at once.
func (a *app) watchSignals() {
	a.signals = make(chan os.Signal, 1)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) { // nohup, and a shell's background jobs
			signal.Notify(a.signals, s)
		}
	}
	go func() { // lives as long as the process, or until leaveSignals
		if s, ok := <-a.signals; ok {
			signal.Stop(a.signals)
			a.cancel(interrupted{s})
		}
	}()
}

// leaveSignals leaves the signals to somebody who passes them on to a container.
func (a *app) leaveSignals() {
	signal.Stop(a.signals)
	close(a.signals)
}

func (a *app) home() (paths.Home, error) { return paths.FromEnv() }

func (a *app) resolve() (target.Target, error) {
	home, err := a.home()
	if err != nil {
		return target.Target{}, err
	}
	return target.Resolve(a.context, home)
}

// engine is the client of the chosen engine, which is started by the first request when it is ours.
func (a *app) engine() (*client.Client, error) {
	if a.client != nil {
		return a.client, nil
	}
	c, t, err := a.connect(true)
	if err != nil {
		return nil, err
	}
	a.client, a.target = c, t
	return c, nil
}

func (a *app) connect(start bool) (*client.Client, target.Target, error) {
	t, err := a.resolve()
	if err != nil {
		return nil, t, err
	}
	steps := progress.NewSteps(a.err, terminal.Is(a.err), "starting the machine")
	dial, err := t.Dialer(start, steps.Step)
	if err != nil {
		return nil, t, err
	}
	return client.New(done(dial, steps), client.Options{Endpoint: t.Socket, Negotiate: t.IsURL()}), t, nil
}

// done removes the steps from the terminal once the machine runs, or does not.
func done(dial client.Dialer, steps *progress.Steps) client.Dialer {
	return func(ctx context.Context) (net.Conn, error) {
		defer steps.Done()
		return dial(ctx)
	}
}

// withEngine makes a command's function of one that needs the engine.
func (a *app) withEngine(f func(cmd *cobra.Command, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.engine()
		if err != nil {
			return err
		}
		return f(cmd, c, args)
	}
}

// progressTo shows the engine's progress messages on f.
func (a *app) progressTo(f *os.File) progress.Output {
	out := progress.Output{W: f}
	if terminal.Is(f) && os.Getenv("TERM") != "dumb" {
		out.Columns = func() int { return terminal.Columns(f) }
	}
	return out
}

// discard shows nothing of them.
func discard() progress.Output { return progress.Output{W: io.Discard} }
