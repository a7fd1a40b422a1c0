package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"naru/cmd/naru/credentials"
	"naru/cmd/naru/imageref"
	"naru/cmd/naru/progress"
	"naru/host/client"
)

func (a *app) pullCommand() *cobra.Command {
	var all, quiet bool
	var platform string
	cmd := &cobra.Command{
		Use: "pull [OPTIONS] NAME[:TAG|@DIGEST]", Short: "Download an image from a registry", Args: exactly(1),
		ValidArgsFunction: a.completeImages(1),
	}
	f := cmd.Flags()
	f.BoolVarP(&all, "all-tags", "a", false, "Download all tagged images in the repository")
	f.BoolVarP(&quiet, "quiet", "q", false, "Suppress verbose output")
	f.StringVar(&platform, "platform", envOr("DOCKER_DEFAULT_PLATFORM", ""), "Set platform if server is multi-platform capable")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		ref, err := imageref.Parse(args[0])
		if err != nil {
			return err
		}
		switch {
		case all && (ref.Tag != "" || ref.Digest != ""):
			return errors.New("tag can't be used with --all-tags/-a")
		case !all && ref.Tag == "" && ref.Digest == "":
			ref = ref.WithTag()
			if !quiet {
				fmt.Fprintf(a.out, "Using default tag: %s\n", ref.Tag)
			}
		}
		out := a.progressTo(a.out)
		if quiet {
			out = discard()
		}
		if err := pullImage(cmd.Context(), c, ref, platform, out); err != nil {
			return err
		}
		fmt.Fprintln(a.out, ref)
		return nil
	})
	return cmd
}

// pullImage pulls with the stored credentials of the registry and shows the progress.
func pullImage(ctx context.Context, c *client.Client, ref imageref.Ref, platform string, out progress.Output) error {
	auth, err := credentials.Header(ctx, ref.Domain)
	if err != nil {
		return err
	}
	in, err := c.ImagePull(ctx, ref.Familiar(), ref.TagOrDigest(), platform, auth)
	if err != nil {
		return err
	}
	defer in.Close()
	return progress.Show(ctx, in, out)
}
