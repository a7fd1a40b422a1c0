package ps

import (
	"fmt"
	"strings"
)

// Format is which columns to show, and the order of the rows.
type Format struct {
	columns []column
	keys    []key
	own     bool // columns were named with -o
	base    string
}

type key struct {
	column
	sign int
}

// formats are those that ps knows by one letter.
var formats = map[string][]string{
	"":  {"pid", "tname", "time", "ucmd"},
	"f": {"user=UID", "pid", "ppid", "c", "stime", "tname", "time", "cmd"},
	"F": {"user=UID", "pid", "ppid", "c", "sz", "rss", "psr", "stime", "tname", "time", "cmd"},
	"j": {"pid", "pgid", "sid", "tname", "time", "ucmd"},
	"u": {"user", "pid", "%cpu", "%mem", "vsz", "rss", "tname", "stat", "start_time", "bsdtime", "args"},
	"x": {"pid", "tname", "stat", "bsdtime", "args"}, // any other of BSD's forms
}

// Parse reads the options of ps in Unix's form (-ef, -eo pid,comm, --sort=-rss) and in BSD's (aux, o pid,comm). Those
// that choose processes are taken and mean nothing: the caller says which ones to show.
func Parse(args string) (*Format, error) {
	f := &Format{}
	words := strings.Fields(args)
	for i := 0; i < len(words); i++ {
		next := func() (string, error) { // the value of an option, which may be the next word
			if i+1 >= len(words) {
				return "", fmt.Errorf("error: %s needs a value", words[i])
			}
			i++
			return words[i], nil
		}
		var err error
		switch w := words[i]; {
		case strings.HasPrefix(w, "--"):
			err = f.long(w, next)
		case strings.HasPrefix(w, "-"):
			err = f.letters(w[1:], false, next)
		default:
			err = f.letters(w, true, next)
		}
		if err != nil {
			return nil, err
		}
	}
	if !f.own {
		if err := f.add(strings.Join(formats[f.base], ",")); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *Format) long(word string, next func() (string, error)) (err error) {
	name, value, given := strings.Cut(word[2:], "=")
	if (name == "format" || name == "sort") && !given {
		if value, err = next(); err != nil {
			return err
		}
	}
	switch name {
	case "format":
		f.own = true
		return f.add(value)
	case "sort":
		return f.order(value)
	}
	return fmt.Errorf("error: unknown gnu long option: %s", word)
}

// letters reads a word of one-letter options. o takes the rest of the word, or the next one, as its value.
func (f *Format) letters(word string, bsd bool, next func() (string, error)) (err error) {
	for i, letter := range word {
		value := word[i+1:]
		switch {
		case letter == 'o' || bsd && letter == 'k':
			if value == "" {
				if value, err = next(); err != nil {
					return err
				}
			}
			if letter == 'k' {
				return f.order(value)
			}
			f.own = true
			return f.add(value)
		case strings.ContainsRune("eAadw", letter) && !bsd, strings.ContainsRune("axgw", letter) && bsd:
			if bsd && f.base == "" {
				f.base = "x"
			}
		case strings.ContainsRune("fFj", letter) && !bsd, letter == 'u' && bsd:
			f.base = string(letter)
		case letter == 'x' && !bsd:
			f.base = "x"
		default:
			kind := "SysV option"
			if bsd {
				kind = "option (BSD syntax)"
			}
			return fmt.Errorf("error: unsupported %s: %q in %q (there are -e -f -F -j -o, a u x o, --format and --sort)", kind, string(letter), word)
		}
	}
	return nil
}

// add adds the columns of a list like "pid,ppid,args=LINE".
func (f *Format) add(list string) error {
	for item := range strings.SplitSeq(list, ",") {
		name, title, renamed := strings.Cut(item, "=")
		if name == "" {
			continue
		}
		c, ok := columns[strings.ToLower(name)]
		if !ok {
			return fmt.Errorf("error: unknown user-defined format specifier %q", name)
		}
		if renamed {
			c.title = title
		}
		f.columns = append(f.columns, c)
	}
	return nil
}

// order reads keys like "-rss,+pid".
func (f *Format) order(list string) error {
	for _, name := range strings.Split(list, ",") {
		k := key{sign: 1}
		if strings.HasPrefix(name, "-") {
			k.sign = -1
		}
		c, ok := columns[strings.TrimLeft(name, "+-")]
		if !ok {
			return fmt.Errorf("error: unknown sort specifier %q", name)
		}
		k.column = c
		f.keys = append(f.keys, k)
	}
	return nil
}
