package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"naru/cmd/naru/imageref"
	"naru/cmd/naru/progress"
	"naru/cmd/naru/terminal"
	"naru/host/client"
)

func (a *app) rmiCommand() *cobra.Command {
	var force, noPrune bool
	var platforms []string
	cmd := &cobra.Command{
		Use: "rmi [OPTIONS] IMAGE [IMAGE...]", Short: "Remove one or more images", Args: atLeast(1), ValidArgsFunction: a.completeImages(0),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Force removal of the image")
	cmd.Flags().BoolVar(&noPrune, "no-prune", false, "Do not delete untagged parents")
	cmd.Flags().StringSliceVar(&platforms, "platform", nil, "Remove only the given platform variant")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		err := each(args, func(name string) error {
			removed, err := c.ImageRemove(cmd.Context(), name, force, noPrune, platforms)
			if force && client.IsNotFound(err) {
				fmt.Fprintf(a.err, "naru: warning: %v\n", err)
				return nil
			}
			for _, r := range removed {
				if r.Untagged != "" {
					fmt.Fprintf(a.out, "Untagged: %s\n", r.Untagged)
				}
				if r.Deleted != "" {
					fmt.Fprintf(a.out, "Deleted: %s\n", r.Deleted)
				}
			}
			return err
		})
		return err
	})
	return cmd
}

func (a *app) tagCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", Short: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
		Args: exactly(2), ValidArgsFunction: a.completeImages(2),
	}
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		ref, err := imageref.Parse(args[1])
		if err != nil {
			return err
		}
		if ref.Digest != "" {
			return errors.New("refusing to create a tag with a digest reference")
		}
		return c.ImageTag(cmd.Context(), args[0], ref.Familiar(), ref.WithTag().Tag)
	})
	return cmd
}

func (a *app) loadCommand() *cobra.Command {
	var input string
	var quiet bool
	var platforms []string
	cmd := &cobra.Command{Use: "load [OPTIONS]", Short: "Load images from a tar archive or STDIN", Args: exactly(0)}
	f := cmd.Flags()
	f.StringVarP(&input, "input", "i", "", "Read from tar archive file, instead of STDIN")
	f.BoolVarP(&quiet, "quiet", "q", false, "Suppress the load output")
	f.StringSliceVar(&platforms, "platform", nil, "Load only the given platform variant")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, _ []string) error {
		in := a.in
		if input != "" {
			file, err := os.Open(input)
			if err != nil {
				return err
			}
			defer file.Close()
			in = file
		} else if terminal.Is(in) {
			return errors.New("requested load from stdin, but stdin is empty")
		}
		resp, err := c.ImageLoad(cmd.Context(), in, quiet || !terminal.Is(a.out), platforms)
		if err != nil {
			return err
		}
		defer resp.Close()
		return progress.Show(cmd.Context(), resp, a.progressTo(a.out))
	})
	return cmd
}

func (a *app) importCommand() *cobra.Command {
	var changes []string
	var message, platform string
	cmd := &cobra.Command{
		Use: "import [OPTIONS] file|URL|- [REPOSITORY[:TAG]]", Short: "Import the contents from a tarball to create a filesystem image",
		Args: upTo(1, 2),
	}
	f := cmd.Flags()
	f.StringArrayVarP(&changes, "change", "c", nil, "Apply Dockerfile instruction to the created image")
	f.StringVarP(&message, "message", "m", "", "Set commit message for imported image")
	f.StringVar(&platform, "platform", os.Getenv("DOCKER_DEFAULT_PLATFORM"), "Set platform if server is multi-platform capable")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		var ref imageref.Ref
		if len(args) > 1 {
			var err error
			if ref, err = imageref.Parse(args[1]); err != nil {
				return err
			}
		}
		source, in, err := a.openImport(args[0])
		if err != nil {
			return err
		}
		if in != nil {
			defer in.Close()
		}
		repository := ""
		if ref.Path != "" {
			repository = ref.Familiar()
		}
		resp, err := c.ImageImport(cmd.Context(), source, body(in), repository, ref.Tag, message, platform, changes)
		if err != nil {
			return err
		}
		defer resp.Close()
		return progress.Show(cmd.Context(), resp, a.progressTo(a.out))
	})
	return cmd
}

// openImport opens a file or stdin; a URL is fetched by the engine.
func (a *app) openImport(name string) (source string, in io.ReadCloser, err error) {
	switch {
	case name == "-":
		return "-", io.NopCloser(a.in), nil
	case strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://"):
		return name, nil, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return "", nil, err
	}
	return "-", file, nil
}

func body(in io.ReadCloser) io.Reader {
	if in == nil {
		return nil
	}
	return bufio.NewReaderSize(in, 1<<20)
}

func (a *app) saveCommand() *cobra.Command {
	var output string
	var platforms []string
	cmd := &cobra.Command{
		Use: "save [OPTIONS] IMAGE [IMAGE...]", Short: "Save one or more images to a tar archive (streamed to STDOUT by default)",
		Args: atLeast(1), ValidArgsFunction: a.completeImages(0),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "Write to a file, instead of STDOUT")
	cmd.Flags().StringSliceVar(&platforms, "platform", nil, "Save only the given platform variant")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		if output == "" && terminal.Is(a.out) {
			return errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")
		}
		in, err := c.ImageSave(cmd.Context(), args, platforms)
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

// writeFile writes in to path. A file that could not be written whole is removed.
func writeFile(ctx context.Context, path string, in io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = copyAll(ctx, f, in)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

func copyAll(ctx context.Context, to io.Writer, from io.Reader) error {
	if _, err := io.Copy(to, from); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}
