// Manpages writes naru's manual pages and shell completions, made of the CLI's own commands, into a folder as they
// are installed below a prefix:
//
//	go run ./scripts/manpages VERSION FOLDER
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"naru/cmd/naru/cli"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: manpages VERSION FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "manpages: error:", err)
		os.Exit(1)
	}
}

func write(version, dir string) error {
	root := cli.Tree(version)
	root.DisableAutoGenTag = true // the same commands give the same bytes
	man := filepath.Join(dir, "share", "man", "man1")
	if err := os.MkdirAll(man, 0o755); err != nil {
		return err
	}
	epoch := time.Unix(0, 0)
	header := &doc.GenManHeader{Section: "1", Source: "naru " + version, Manual: "naru", Date: &epoch}
	if err := doc.GenManTree(root, header, man); err != nil {
		return err
	}
	return completions(root, filepath.Join(dir, "share"))
}

// completions go where each shell looks for them.
func completions(root *cobra.Command, share string) error {
	for path, write := range map[string]func(string) error{
		"bash-completion/completions/naru":    func(p string) error { return root.GenBashCompletionFileV2(p, true) },
		"zsh/vendor-completions/_naru":        root.GenZshCompletionFile,
		"fish/vendor_completions.d/naru.fish": func(p string) error { return root.GenFishCompletionFile(p, true) },
		"naru/completions/naru.ps1":           root.GenPowerShellCompletionFileWithDesc,
	} {
		path = filepath.Join(share, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := write(path); err != nil {
			return err
		}
	}
	return nil
}
