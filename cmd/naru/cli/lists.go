package cli

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"

	"naru/host/client"
)

const formatHelp = `Format output: "table", "table TEMPLATE", "json" or a Go template`

// filterFlag is --filter key=value, many times.
type filterFlag struct{ values client.Filters }

func (f *filterFlag) String() string { return "" }
func (f *filterFlag) Type() string   { return "filter" }

func (f *filterFlag) Set(s string) error {
	if s == "" {
		return nil
	}
	key, value, ok := strings.Cut(s, "=")
	if !ok {
		return errors.New("bad format of filter (expected name=value)")
	}
	if f.values == nil {
		f.values = client.Filters{}
	}
	key = strings.ToLower(strings.TrimSpace(key))
	f.values[key] = append(f.values[key], strings.TrimSpace(value))
	return nil
}

// labelList is labels as Docker's tables show them: a=b,c=d, sorted.
func labelList(labels map[string]string) string {
	var list []string
	for _, k := range sortedKeys(labels) {
		list = append(list, k+"="+labels[k])
	}
	return strings.Join(list, ",")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func envOr(name, other string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return other
}
