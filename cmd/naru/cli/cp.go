package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"naru/cmd/naru/localfiles"
	"naru/cmd/naru/terminal"
	"naru/host/client"
)

// copying is one cp.
type copying struct {
	app       *app
	client    *client.Client
	container string
	src, dst  string
	follow    bool
	own       bool
	quiet     bool
}

func (a *app) cpCommand() *cobra.Command {
	c := copying{app: a}
	cmd := &cobra.Command{
		Use:   "cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n       naru cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
		Short: "Copy files/folders between a container and the local filesystem",
		Long: `Copy files/folders between a container and the local filesystem

Use '-' as the source to read a tar archive from stdin
and extract it to a directory destination in a container.
Use '-' as the destination to stream a tar archive of a
container source to stdout.`,
		Example: "  naru cp web:/etc/nginx/nginx.conf .\n  naru cp site/. web:/usr/share/nginx/html",
		Args:    exactly(2), ValidArgsFunction: a.completeCopy(),
	}
	f := cmd.Flags()
	f.BoolVarP(&c.follow, "follow-link", "L", false, "Always follow symlinks in SRC_PATH")
	f.BoolVarP(&c.own, "archive", "a", false, "Archive mode (copy all uid/gid information)")
	f.BoolVarP(&c.quiet, "quiet", "q", false, "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !f.Changed("quiet") {
			c.quiet = !terminal.Is(a.out)
		}
		return c.run(cmd.Context(), args[0], args[1])
	}
	return cmd
}

func (c *copying) run(ctx context.Context, from, to string) error {
	switch {
	case from == "":
		return errors.New("source can not be empty")
	case to == "":
		return errors.New("destination can not be empty")
	}
	fromContainer, src := splitCopyArg(from)
	toContainer, dst := splitCopyArg(to)
	switch {
	case fromContainer != "" && toContainer != "":
		return errors.New("copying between containers is not supported")
	case fromContainer == "" && toContainer == "":
		return errors.New("must specify at least one container source")
	}
	engine, err := c.app.engine()
	if err != nil {
		return err
	}
	c.client, c.src, c.dst = engine, src, dst
	if fromContainer != "" {
		c.container = fromContainer
		return c.out(ctx)
	}
	c.container = toContainer
	return c.in(ctx)
}

// splitCopyArg tells CONTAINER:PATH from a path of this machine: one that is absolute, begins with a dot, or has no colon.
func splitCopyArg(arg string) (container, p string) {
	if isAbs(arg) {
		return "", arg
	}
	container, p, ok := strings.Cut(arg, ":")
	if !ok || strings.HasPrefix(container, ".") {
		return "", arg
	}
	return container, p
}

// isAbs also takes a path without a drive for absolute, as Docker does on Windows.
func isAbs(p string) bool { return filepath.IsAbs(p) || strings.HasPrefix(p, string(os.PathSeparator)) }

// out copies from the container.
func (c *copying) out(ctx context.Context) error {
	dst := localfiles.End{}
	if c.dst != "-" {
		abs, err := localfiles.Absolute(c.dst)
		if err != nil {
			return err
		}
		if dst, err = localfiles.Destination(abs); err != nil {
			return err
		}
		c.dst = abs
	}
	src := localfiles.End{Path: c.src, Exists: true}
	if c.follow {
		c.followSource(ctx, &src)
	}
	in, st, err := c.client.CopyFromContainer(ctx, c.container, src.Path)
	if err != nil {
		return err
	}
	defer in.Close()
	if c.dst == "-" {
		return copyAll(ctx, c.app.out, in)
	}
	src.IsDir = st.Mode.IsDir()
	dir, rename, err := localfiles.Place(src, dst)
	if err != nil {
		return err
	}
	if src.Rename != "" {
		rename = afterRename(src, rename)
	}
	p := c.progress("Copying from container - ")
	err = localfiles.Unpack(p.reader(in), dir, rename)
	return p.done(ctx, err, c.dst)
}

// followSource puts the target of a symbolic link in the source's place. One that is not there is reported by the copy.
func (c *copying) followSource(ctx context.Context, src *localfiles.End) {
	st, err := c.client.ContainerStatPath(ctx, c.container, src.Path)
	if err == nil && st.Mode&fs.ModeSymlink != 0 {
		src.Path, src.Rename = localfiles.Followed(src.Path, linkTarget(src.Path, st.LinkTarget), false)
	}
}

// linkTarget is where a link in a container leads.
func linkTarget(link, target string) string {
	if path.IsAbs(target) {
		return target
	}
	return path.Join(path.Dir(path.Clean(link)), target)
}

// afterRename first gives what the engine sends under the name of a link's target the name of the link.
func afterRename(src localfiles.End, then func(string) string) func(string) string {
	first := localfiles.Renamer(path.Base(path.Clean(src.Path)), src.Rename)
	return func(name string) string { return then(first(name)) }
}

// in copies to the container.
func (c *copying) in(ctx context.Context) error {
	if c.src != "-" {
		abs, err := localfiles.Absolute(c.src)
		if err != nil {
			return err
		}
		c.src = abs
	}
	dst, err := c.destination(ctx)
	if err != nil {
		return err
	}
	if c.src == "-" {
		if !dst.IsDir {
			return fmt.Errorf(`destination "%s:%s" must be a directory`, c.container, c.dst)
		}
		p := c.progress("Copying to container - ")
		err := c.client.CopyToContainer(ctx, c.container, dst.Path, p.reader(c.app.in), c.own)
		return p.done(ctx, err, c.container+":"+dst.Path)
	}
	src, err := localfiles.Source(c.src, c.follow)
	if err != nil {
		return err
	}
	dir, rename, err := localfiles.Place(src, dst)
	if err != nil {
		return err
	}
	p := c.progress("Copying to container - ")
	archive := localfiles.NewArchive(src, rename)
	err = c.client.CopyToContainer(ctx, c.container, dir, p.archive(archive), c.own)
	return p.done(ctx, archive.Error(err), c.container+":"+dst.Path)
}

// destination looks at the path in the container. What cannot be looked at is taken for missing: the engine tells.
func (c *copying) destination(ctx context.Context) (localfiles.End, error) {
	dst := localfiles.End{Path: c.dst}
	st, err := c.client.ContainerStatPath(ctx, c.container, c.dst)
	if err == nil && st.Mode&fs.ModeSymlink != 0 {
		dst.Path = linkTarget(c.dst, st.LinkTarget)
		st, err = c.client.ContainerStatPath(ctx, c.container, dst.Path)
	}
	var connect *client.ConnectError
	if errors.As(err, &connect) || ctx.Err() != nil {
		return dst, err
	}
	if err != nil {
		return dst, nil
	}
	if err := localfiles.CheckMode(st.Mode); err != nil {
		return dst, fmt.Errorf(`destination "%s:%s" must be a directory or a regular file: %w`, c.container, c.dst, err)
	}
	dst.Exists, dst.IsDir = true, st.Mode.IsDir()
	return dst, nil
}

// completeCopy offers the names of containers, with a colon.
func (a *app) completeCopy() completer {
	names := a.completeContainers(0, anyState)
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 1 || isAbs(word) || strings.ContainsAny(word, ":./") {
			return nil, cobra.ShellCompDirectiveDefault
		}
		list, _ := names(cmd, nil, word)
		for i := range list {
			list[i] += ":"
		}
		return list, cobra.ShellCompDirectiveNoSpace
	}
}
