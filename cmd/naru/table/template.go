// Package table prints lists the way Docker's CLI does: a table, the user's own Go template, or JSON lines.
package table

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"text/template"
)

// Header is the heading of each field that a row has.
type Header map[string]string

// Label is the heading of `{{.Label "com.example.name"}}`: the last part of the label.
func (h Header) Label(name string) string {
	return name[strings.LastIndexByte(name, '.')+1:]
}

// Spec says how a list is printed when the user does not: Default is a template of the fields, separated by \t.
type Spec struct {
	Default string
	Header  Header
}

// Print prints rows in the user's format: empty or "table" for the default table, "table TEMPLATE", "json" or a
// template that is run for each row.
func Print[T any](w io.Writer, format string, spec Spec, rows []T) error {
	asTable, text := parseFormat(format, spec)
	tmpl, err := Parse(text)
	if err != nil {
		return err
	}
	if !asTable {
		for _, row := range rows {
			if err := line(w, tmpl, row); err != nil {
				return err
			}
		}
		return nil
	}
	tw := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
	head, err := template.New("").Funcs(headerFuncs).Parse(text)
	if err != nil {
		return templateError(err)
	}
	if err := line(tw, head, spec.Header); err != nil {
		return err
	}
	for _, row := range rows {
		if err := line(tw, tmpl, row); err != nil {
			return err
		}
	}
	return tw.Flush()
}

func parseFormat(format string, spec Spec) (asTable bool, text string) {
	format = strings.TrimSpace(format)
	switch {
	case format == "" || format == "table":
		return true, spec.Default
	case format == "json":
		return false, "{{json .}}"
	}
	rest, asTable := strings.CutPrefix(format, "table ")
	return asTable, strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(strings.TrimSpace(rest))
}

// Mentions tells whether a format uses a field, so that costly ones are asked for only then.
func Mentions(format, field string) bool { return strings.Contains(format, "."+field) }

func line(w io.Writer, tmpl *template.Template, data any) error {
	var b bytes.Buffer
	if err := tmpl.Execute(&b, data); err != nil {
		return templateError(err)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

// Parse parses a template with Docker's functions.
func Parse(text string) (*template.Template, error) {
	tmpl, err := template.New("").Funcs(funcs).Parse(text)
	if err != nil {
		return nil, templateError(err)
	}
	return tmpl, nil
}

// templateError removes the package's prefix, which names a file that does not exist.
func templateError(err error) error {
	return errors.New("template parsing error: " + err.Error())
}

var funcs = template.FuncMap{
	"json":     marshal,
	"split":    strings.Split,
	"join":     strings.Join,
	"title":    title,
	"lower":    strings.ToLower,
	"upper":    strings.ToUpper,
	"pad":      pad,
	"truncate": truncate,
	"println":  fmt.Sprintln,
}

// headerFuncs leave a heading as it is.
var headerFuncs = template.FuncMap{
	"json":     func(v any) any { return v },
	"split":    func(v, _ string) string { return v },
	"join":     func(v any, _ ...any) any { return v },
	"title":    func(v string) string { return v },
	"lower":    func(v string) string { return v },
	"upper":    func(v string) string { return v },
	"pad":      pad,
	"truncate": func(v string, _ int) string { return v },
	"println":  fmt.Sprintln,
}

func marshal(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func pad(s string, prefix, suffix int) string {
	if s == "" {
		return s
	}
	return strings.Repeat(" ", prefix) + s + strings.Repeat(" ", suffix)
}

func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n]
}
