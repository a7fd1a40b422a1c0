package cli

import (
	"strings"
	"testing"

	"github.com/google/shlex"
	"github.com/spf13/cobra"
)

// TestHelp: each command says in a line what it does, and shows an example that its flags understand.
func TestHelp(t *testing.T) {
	newRoot := func() *cobra.Command { return Tree("test") }
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		if c.Name() == "help" || c.HasSubCommands() || c.Hidden {
			return
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the short help is %q", c.CommandPath(), c.Short)
		}
		if !strings.Contains(c.Example, "naru ") {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			checkExample(t, newRoot(), line)
		}
	}
	visit(newRoot())
}

// checkExample parses the line's command as the CLI would.
func checkExample(t *testing.T, root *cobra.Command, line string) {
	t.Helper()
	at := strings.Index(line, "naru ")
	if at < 0 {
		return
	}
	words, err := shlex.Split(strings.NewReplacer("<", " ", ">", " ", "|", " ").Replace(line[at:]))
	if err != nil {
		t.Errorf("%q: %v", line, err)
		return
	}
	if i := strings.Index(strings.Join(words, "\x00"), "\x00--\x00"); i >= 0 {
		words = words[:strings.Count(strings.Join(words, "\x00")[:i], "\x00")+1]
	}
	cmd, rest, err := root.Find(words[1:])
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err != nil {
		t.Errorf("%q: %v", strings.TrimSpace(line), err)
	}
}
