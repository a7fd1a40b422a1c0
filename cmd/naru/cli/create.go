package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"naru/cmd/naru/imageref"
	"naru/cmd/naru/runflags"
	"naru/cmd/naru/terminal"
	"naru/host/client"
)

// creation is what `create` and `run` have in common.
type creation struct {
	*runflags.Flags
	name, platform, pull string
	quiet                bool
}

// When to pull an image, the values of --pull.
const (
	pullAlways  = "always"
	pullMissing = "missing"
	pullNever   = "never"
)

func (o *creation) add(f *pflag.FlagSet) {
	o.Flags = runflags.Add(f)
	f.Bool("help", false, "Print usage") // without its -h, which is the host name's
	f.StringVar(&o.name, "name", "", "Assign a name to the container")
	f.StringVar(&o.platform, "platform", os.Getenv("DOCKER_DEFAULT_PLATFORM"), "Set platform if server is multi-platform capable")
	f.StringVar(&o.pull, "pull", pullMissing, "Pull image before running (always, missing, never)")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Suppress the pull output")
	f.SetInterspersed(false)
}

func (a *app) createCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create [OPTIONS] IMAGE [COMMAND] [ARG...]", Short: "Create a container", Args: atLeast(1),
		ValidArgsFunction: a.completeImages(1),
	}
	o := &creation{}
	if a.named("create") {
		o.add(cmd.Flags())
	}
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		req, err := o.Parse(args[0], args[1:])
		if err != nil {
			return withCode(codeEngine, usage(cmd, err))
		}
		id, err := a.create(cmd.Context(), c, o, req)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.out, id)
		return nil
	})
	return cmd
}

// create makes the container, and pulls its image when it is missing or must be.
func (a *app) create(ctx context.Context, c *client.Client, o *creation, req *runflags.Result) (id string, err error) {
	for _, w := range req.Warnings {
		fmt.Fprintln(a.err, w)
	}
	cid, err := newCIDFile(req.CIDFile)
	if err != nil {
		return "", err
	}
	defer cid.close()
	switch o.pull {
	case pullAlways, pullMissing, pullNever:
	default:
		return "", fmt.Errorf("invalid pull option: '%s': must be one of %q, %q or %q", o.pull, pullAlways, pullMissing, pullNever)
	}
	if req.Config.Env, err = withProxies(req.Config.Env, a.target.Socket); err != nil {
		return "", err
	}
	if rows, cols, ok := terminal.Size(a.out); ok && req.Config.Tty {
		req.HostConfig.ConsoleSize = [2]uint{rows, cols}
	}
	if o.pull == pullAlways {
		if err := a.pullFor(ctx, c, req.Config.Image, o); err != nil {
			return "", err
		}
	}
	resp, err := c.ContainerCreate(ctx, req.CreateRequest, o.name, o.platform)
	if o.pull == pullMissing && isMissingImage(err) {
		if ref, perr := imageref.Parse(req.Config.Image); perr == nil {
			fmt.Fprintf(a.err, "Unable to find image '%s' locally\n", ref.WithTag().FamiliarString())
		}
		if err := a.pullFor(ctx, c, req.Config.Image, o); err != nil {
			return "", err
		}
		resp, err = c.ContainerCreate(ctx, req.CreateRequest, o.name, o.platform)
	}
	if err != nil {
		return "", err
	}
	for _, w := range resp.Warnings {
		fmt.Fprintf(a.err, "WARNING: %s\n", w)
	}
	return resp.ID, cid.write(resp.ID)
}

// isMissingImage tells a missing image from a missing network, volume or container, which are 404 as well.
func isMissingImage(err error) bool {
	return client.IsNotFound(err) && strings.Contains(strings.ToLower(err.Error()), "no such image")
}

func (a *app) pullFor(ctx context.Context, c *client.Client, image string, o *creation) error {
	ref, err := imageref.Parse(image)
	if err != nil {
		return err
	}
	out := a.progressTo(a.err)
	if o.quiet {
		out = discard()
	}
	return pullImage(ctx, c, ref.WithTag(), o.platform, out)
}

// cidFile is the file of --cidfile. It is made before the container, so that nothing has to be undone when it cannot
// be, and removed again when there is no container.
type cidFile struct {
	path    string
	file    *os.File
	written bool
}

func newCIDFile(path string) (*cidFile, error) {
	if path == "" {
		return &cidFile{}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("container ID file found, make sure the other container isn't running or delete %s", path)
	}
	if err != nil {
		return nil, fmt.Errorf("create the container ID file: %w", err)
	}
	return &cidFile{path: path, file: f}, nil
}

func (c *cidFile) write(id string) error {
	if c.file == nil {
		return nil
	}
	if _, err := c.file.WriteString(id); err != nil {
		return fmt.Errorf("write the container ID to the file: %w", err)
	}
	c.written = true
	return nil
}

func (c *cidFile) close() {
	if c.file == nil {
		return
	}
	_ = c.file.Close()
	if !c.written {
		_ = os.Remove(c.path)
	}
}

// checkTerminal refuses to give a terminal to a process whose stdin would not be one.
func (a *app) checkTerminal(config *container.Config) error {
	if config.Tty && config.AttachStdin && !terminal.Is(a.in) {
		return errors.New("cannot attach stdin to a TTY-enabled container because stdin is not a terminal")
	}
	return nil
}
