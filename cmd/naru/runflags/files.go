package runflags

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// ReadEnv joins the variables of files, then those of list; see checkEnv for names without a value. In a file such a
// name is left out when it is not set.
func ReadEnv(files, list []string) ([]string, error) {
	return readKeyed(files, list, os.LookupEnv)
}

// readLabels joins the labels of files, then those of list.
func readLabels(files, list []string) ([]string, error) {
	return readKeyed(files, list, nil)
}

func readKeyed(files, list []string, lookup func(string) (string, bool)) ([]string, error) {
	var all []string
	for _, file := range files {
		lines, err := readKeyFile(file, lookup)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	return append(all, list...), nil
}

func readKeyFile(file string, lookup func(string) (string, bool)) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []string
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for n := 1; scanner.Scan(); n++ {
		text := scanner.Text()
		if n == 1 {
			text = strings.TrimPrefix(text, "\uFEFF")
		}
		if !utf8.ValidString(text) {
			return nil, fmt.Errorf("invalid env file (%s): invalid utf8 bytes at line %d: %q", file, n, text)
		}
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
		if text == "" || text[0] == '#' {
			continue
		}
		name, value, has := strings.Cut(text, "=")
		switch {
		case name == "":
			return nil, fmt.Errorf("invalid env file (%s): no variable name on line '%s'", file, text)
		case strings.ContainsFunc(name, unicode.IsSpace):
			return nil, fmt.Errorf("invalid env file (%s): variable '%s' contains whitespaces", file, name)
		case has:
			lines = append(lines, name+"="+value)
		case lookup == nil:
			lines = append(lines, name)
		default:
			if value, ok := lookup(name); ok {
				lines = append(lines, name+"="+value)
			}
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("invalid env file (%s): %w", file, err)
	}
	return lines, nil
}

// EnvFlags defines --env and --env-file and returns what reads them.
func EnvFlags(f *pflag.FlagSet) func() ([]string, error) {
	env, file := &list{check: checkEnv}, &list{}
	f.VarP(env, "env", "e", "Set environment variables")
	f.Var(file, "env-file", "Read in a file of environment variables")
	return func() ([]string, error) { return ReadEnv(file.values, env.values) }
}
