package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"naru/cmd/naru/terminal"
	"naru/host/client"
)

func (a *app) volumeExportCommand() *cobra.Command {
	var output, compression string
	cmd := &cobra.Command{
		Use: "export [OPTIONS] VOLUME", Short: "Write the files of a volume as a tar archive", Args: exactly(1),
		Example:           "  naru volume export -o data.tar.zst data\n  naru volume export data | ssh host naru volume import data",
		ValidArgsFunction: a.completeVolumes(1),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "Write to a file, instead of STDOUT; .gz and .zst compress")
	cmd.Flags().StringVar(&compression, "compression", "", `Compress the archive ("gzip", "zstd", "none")`)
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		if output == "" && terminal.Is(a.out) {
			return errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")
		}
		how, err := archiveCompression(compression, output)
		if err != nil {
			return err
		}
		in, err := c.VolumeExport(cmd.Context(), args[0], how)
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

// archiveCompression is what was asked for, else what the file's name says.
func archiveCompression(asked, output string) (string, error) {
	switch {
	case asked == "gzip", asked == "zstd":
		return asked, nil
	case asked == "none":
		return "", nil
	case asked != "":
		return "", fmt.Errorf("unknown compression %q: gzip, zstd or none", asked)
	case strings.HasSuffix(output, ".gz") || strings.HasSuffix(output, ".tgz"):
		return "gzip", nil
	case strings.HasSuffix(output, ".zst") || strings.HasSuffix(output, ".tzst"):
		return "zstd", nil
	}
	return "", nil
}

func (a *app) volumeImportCommand() *cobra.Command {
	var merge bool
	cmd := &cobra.Command{
		Use: "import [OPTIONS] VOLUME [FILE|-]", Short: "Fill a volume from a tar archive, and make it when it is missing", Args: upTo(1, 2),
		Example:           "  naru volume import data data.tar.zst\n  tar -C backup -c . | naru volume import data",
		ValidArgsFunction: a.completeVolumes(1),
	}
	cmd.Flags().BoolVar(&merge, "merge", false, "Put the files over those that the volume holds already")
	cmd.RunE = a.withEngine(func(cmd *cobra.Command, c *client.Client, args []string) error {
		in := a.in
		if len(args) > 1 && args[1] != "-" {
			file, err := os.Open(args[1])
			if err != nil {
				return err
			}
			defer file.Close()
			in = file
		} else if terminal.Is(in) {
			return errors.New("requested import from stdin, but stdin is a terminal: name a file")
		}
		if err := c.VolumeImport(cmd.Context(), args[0], in, merge); err != nil {
			return err
		}
		fmt.Fprintln(a.out, args[0])
		return nil
	})
	return cmd
}
