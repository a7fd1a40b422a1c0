package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"naru/cmd/naru/imageref"
	"naru/cmd/naru/terminal"
	"naru/host/client"
)

func (a *app) diffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "diff CONTAINER", Short: "Inspect changes to files or directories on a container's filesystem", Args: exactly(1),
		Example: "  naru diff web", ValidArgsFunction: a.completeContainers(1, anyState),
	}
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		changes, err := c.ContainerDiff(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		for _, change := range changes {
			fmt.Fprintln(a.out, change.Kind, change.Path)
		}
		return nil
	})
	return cmd
}

func (a *app) exportCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "export [OPTIONS] CONTAINER", Short: "Export a container's filesystem as a tar archive", Args: exactly(1),
		Example: "  naru export -o web.tar web", ValidArgsFunction: a.completeContainers(1, anyState),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "Write to a file, instead of STDOUT")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		if output == "" && terminal.Is(a.out) {
			return errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")
		}
		in, err := c.ContainerExport(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		defer in.Close()
		if output == "" {
			return copyAll(cmd.Context(), a.out, in)
		}
		return writeFile(cmd.Context(), output, in)
	})
	return cmd
}

func (a *app) commitCommand() *cobra.Command {
	var o client.CommitOptions
	var pause bool
	cmd := &cobra.Command{
		Use: "commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]", Short: "Create a new image from a container's changes", Args: upTo(1, 2),
		Example: "  naru commit -m 'with vim' box debian-vim\n  naru commit -c 'CMD [\"nginx\"]' box site:1", ValidArgsFunction: a.completeContainers(1, anyState),
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringVarP(&o.Author, "author", "a", "", `Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")`)
	f.StringArrayVarP(&o.Changes, "change", "c", nil, "Apply Dockerfile instruction to the created image")
	f.StringVarP(&o.Comment, "message", "m", "", "Commit message")
	f.BoolVarP(&pause, "pause", "p", true, "Pause container during commit")
	f.BoolVar(&o.NoPause, "no-pause", false, "Disable pausing container during commit")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		if f.Changed("pause") {
			if f.Changed("no-pause") {
				return errors.New("conflicting options: --no-pause and --pause cannot be used together")
			}
			o.NoPause = !pause
		}
		if len(args) > 1 {
			ref, err := imageref.Parse(args[1])
			if err != nil {
				return err
			}
			if ref.Digest != "" {
				return errors.New("refusing to create a tag with a digest reference")
			}
			o.Repository, o.Tag = ref.Familiar(), ref.WithTag().Tag
		}
		id, err := c.ContainerCommit(cmd.Context(), args[0], o)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.out, id)
		return nil
	})
	return cmd
}
