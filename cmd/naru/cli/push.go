package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"naru/cmd/naru/credentials"
	"naru/cmd/naru/imageref"
	"naru/cmd/naru/progress"
	"naru/host/client"
)

func (a *app) pushCommand() *cobra.Command {
	var all, quiet bool
	var platform string
	cmd := &cobra.Command{
		Use: "push [OPTIONS] NAME[:TAG]", Short: "Upload an image to a registry", Args: exactly(1),
		Example:           "  naru tag web localhost:5000/web:1\n  naru push localhost:5000/web:1",
		ValidArgsFunction: a.completeImages(1),
	}
	f := cmd.Flags()
	f.BoolVarP(&all, "all-tags", "a", false, "Push all tags of an image to the repository")
	f.BoolVarP(&quiet, "quiet", "q", false, "Suppress verbose output")
	f.StringVar(&platform, "platform", "", "Push only the image of this platform (\"os[/arch[/variant]]\")")
	f.Bool("disable-content-trust", true, "Accepted and without effect, for older scripts")
	_ = f.MarkHidden("disable-content-trust")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		ref, err := imageref.Parse(args[0])
		if err != nil {
			return err
		}
		switch {
		case ref.Digest != "":
			return errors.New("cannot push a digest reference")
		case all && ref.Tag != "":
			return errors.New("tag can't be used with --all-tags/-a")
		case !all && ref.Tag == "":
			ref = ref.WithTag()
			if !quiet {
				fmt.Fprintf(a.out, "Using default tag: %s\n", ref.Tag)
			}
		}
		auth, err := credentials.Header(cmd.Context(), ref.Domain)
		if err != nil {
			return err
		}
		in, err := c.ImagePush(cmd.Context(), ref.Familiar(), ref.Tag, platform, auth)
		if err != nil {
			return err
		}
		defer in.Close()
		if !quiet {
			return progress.Show(cmd.Context(), in, a.progressTo(a.out))
		}
		if err := progress.Show(cmd.Context(), in, discard()); err != nil {
			return err
		}
		fmt.Fprintln(a.out, ref)
		return nil
	})
	return cmd
}
