package image

import (
	"errors"
	"fmt"
	"strings"
)

// The words of a Dockerfile's instruction: single quotes keep everything, double quotes keep blanks, a backslash keeps the next
// character, and $NAME, ${NAME}, ${NAME:-else} and ${NAME:+other} are variables outside of single quotes.

// expandWords cuts text at blanks.
func expandWords(text string, lookup func(string) (string, bool)) ([]string, error) {
	x := &expander{rest: text, lookup: lookup}
	var out []string
	for {
		x.rest = strings.TrimLeft(x.rest, " \t")
		if x.rest == "" {
			return out, nil
		}
		word, err := x.word(" \t")
		if err != nil {
			return nil, err
		}
		out = append(out, word)
	}
}

// expandWord takes all of text for one word.
func expandWord(text string, lookup func(string) (string, bool)) (string, error) {
	return (&expander{rest: text, lookup: lookup}).word("")
}

type expander struct {
	rest   string
	lookup func(string) (string, bool)
}

func (x *expander) next() byte {
	b := x.rest[0]
	x.rest = x.rest[1:]
	return b
}

// word reads up to a character of end, which stays, or to the end of the text.
func (x *expander) word(end string) (string, error) {
	var out strings.Builder
	for x.rest != "" && !strings.ContainsRune(end, rune(x.rest[0])) {
		var piece string
		var err error
		switch b := x.next(); b {
		case '\'':
			piece, err = x.single()
		case '"':
			piece, err = x.double()
		case '$':
			piece, err = x.variable()
		case '\\':
			if x.rest != "" {
				piece = string(x.next())
			} else {
				piece = `\`
			}
		default:
			piece = string([]byte{b})
		}
		if err != nil {
			return "", err
		}
		out.WriteString(piece)
	}
	return out.String(), nil
}

func (x *expander) single() (string, error) {
	piece, rest, ok := strings.Cut(x.rest, "'")
	if !ok {
		return "", errors.New("unexpected end of statement while looking for matching single-quote")
	}
	x.rest = rest
	return piece, nil
}

func (x *expander) double() (string, error) {
	var out strings.Builder
	for x.rest != "" {
		switch b := x.next(); {
		case b == '"':
			return out.String(), nil
		case b == '$':
			piece, err := x.variable()
			if err != nil {
				return "", err
			}
			out.WriteString(piece)
		case b == '\\' && x.rest != "" && strings.ContainsRune(`"$\`, rune(x.rest[0])):
			out.WriteByte(x.next())
		default:
			out.WriteByte(b)
		}
	}
	return "", errors.New("unexpected end of statement while looking for matching double-quote")
}

// variable reads what follows a dollar sign.
func (x *expander) variable() (string, error) {
	if !strings.HasPrefix(x.rest, "{") {
		name := x.name()
		if name == "" {
			return "$", nil
		}
		value, _ := x.lookup(name)
		return value, nil
	}
	x.next()
	name := x.name()
	if name == "" {
		return "", errors.New("syntax error: missing variable name in ${}")
	}
	modifier := ""
	if strings.HasPrefix(x.rest, ":") && len(x.rest) > 1 {
		modifier, x.rest = x.rest[:2], x.rest[2:]
	} else if x.rest != "" && strings.ContainsRune("-+", rune(x.rest[0])) {
		modifier, x.rest = x.rest[:1], x.rest[1:]
	}
	word := ""
	if modifier != "" {
		var err error
		if word, err = x.word("}"); err != nil {
			return "", err
		}
	}
	if !strings.HasPrefix(x.rest, "}") {
		return "", errors.New("syntax error: missing '}'")
	}
	x.next()
	return x.modified(name, modifier, word)
}

func (x *expander) modified(name, modifier, word string) (string, error) {
	value, set := x.lookup(name)
	full := set && (value != "" || !strings.HasPrefix(modifier, ":"))
	switch strings.TrimPrefix(modifier, ":") {
	case "":
		return value, nil
	case "-":
		if full {
			return value, nil
		}
		return word, nil
	case "+":
		if full {
			return word, nil
		}
		return "", nil
	}
	return "", fmt.Errorf("unsupported modifier (%s) in substitution", modifier)
}

func (x *expander) name() string {
	n := 0
	for n < len(x.rest) && (x.rest[n] == '_' || x.rest[n]|0x20 >= 'a' && x.rest[n]|0x20 <= 'z' || n > 0 && x.rest[n] >= '0' && x.rest[n] <= '9') {
		n++
	}
	name := x.rest[:n]
	x.rest = x.rest[n:]
	return name
}
