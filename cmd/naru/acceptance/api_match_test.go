package acceptance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// matchJSON compares a JSON value with a pattern and returns what is wrong.
//
// In a pattern an object names the keys that matter: others may be there, and "<absent>" as a value says that the key must
// not be. A list must have as many elements as the pattern, and in its order; one that begins with "..." names some of them, in
// any order. Strings are exact but for these:
//
//	"<id>" 64 hex digits, perhaps after sha256:   "<time>" RFC 3339           "<zero time>" 0001-01-01T00:00:00Z
//	"<string>" not empty   "<number>"  "<bool>"  "<object>"  "<list>"  "<any>" of that kind  "/re/" a regular expression
//	"<empty>" as the whole pattern: no body at all
func matchJSON(path string, want, got any) []string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s: want an object, got %s", path, text(got))}
		}
		return matchObject(path, w, g)
	case []any:
		g, ok := got.([]any)
		if ok && len(w) > 0 && w[0] == "..." {
			return matchSome(path, w[1:], g)
		}
		if !ok || len(g) != len(w) {
			return []string{fmt.Sprintf("%s: want %s, got %s", path, text(want), text(got))}
		}
		var problems []string
		for i := range w {
			problems = append(problems, matchJSON(fmt.Sprintf("%s[%d]", path, i), w[i], g[i])...)
		}
		return problems
	case string:
		if !matchString(w, got) {
			return []string{fmt.Sprintf("%s: want %s, got %s", path, w, text(got))}
		}
		return nil
	}
	if !reflect.DeepEqual(want, got) {
		return []string{fmt.Sprintf("%s: want %s, got %s", path, text(want), text(got))}
	}
	return nil
}

// matchSome wants each pattern to be matched by some element.
func matchSome(path string, want, got []any) []string {
	var problems []string
	for _, w := range want {
		if !slices.ContainsFunc(got, func(g any) bool { return len(matchJSON(path, w, g)) == 0 }) {
			problems = append(problems, fmt.Sprintf("%s: want %s among %s", path, text(w), text(got)))
		}
	}
	return problems
}

func matchObject(path string, want, got map[string]any) []string {
	var problems []string
	for _, key := range sortedKeys(want) {
		value, ok := got[key]
		switch {
		case want[key] == "<absent>":
			if ok {
				problems = append(problems, fmt.Sprintf("%s.%s: must not be there, is %s", path, key, text(value)))
			}
		case !ok:
			problems = append(problems, fmt.Sprintf("%s.%s: is not there, want %s", path, key, text(want[key])))
		default:
			problems = append(problems, matchJSON(path+"."+key, want[key], value)...)
		}
	}
	return problems
}

var (
	idPattern    = regexp.MustCompile(`^(sha256:)?[0-9a-f]{64}$`)
	placeholders = map[string]func(v any) bool{
		"<any>":       func(any) bool { return true },
		"<bool>":      func(v any) bool { _, ok := v.(bool); return ok },
		"<number>":    func(v any) bool { _, ok := v.(json.Number); return ok },
		"<object>":    func(v any) bool { _, ok := v.(map[string]any); return ok },
		"<list>":      func(v any) bool { _, ok := v.([]any); return ok },
		"<string>":    func(v any) bool { s, ok := v.(string); return ok && s != "" },
		"<id>":        func(v any) bool { s, _ := v.(string); return idPattern.MatchString(s) },
		"<zero time>": func(v any) bool { return v == "0001-01-01T00:00:00Z" },
		"<time>": func(v any) bool {
			s, _ := v.(string)
			at, err := time.Parse(time.RFC3339Nano, s)
			return err == nil && at.Year() > 2000
		},
	}
)

func matchString(want string, got any) bool {
	if f, ok := placeholders[want]; ok {
		return f(got)
	}
	s, ok := got.(string)
	return ok && matchText(want, s)
}

// matchText compares a text that is given exactly or as /a regular expression/.
func matchText(want, got string) bool {
	if len(want) > 2 && want[0] == '/' && want[len(want)-1] == '/' {
		return regexp.MustCompile(want[1 : len(want)-1]).MatchString(got)
	}
	return want == got
}

// decode reads one JSON value, or a list of all where there are several.
func decode(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var all []any
	for {
		var v any
		err := dec.Decode(&v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(b) > 600 {
		return string(b[:600]) + "…"
	}
	return string(b)
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// shapeDiffers are parts of answers whose shape is meant to differ from that of dockerd since an API version, everywhere.
var shapeDiffers = map[string]struct{ since, key string }{
	"GraphDriver":             {"1.52", "image store"},
	"Storage":                 {"1.52", "image store"},
	"ImageManifestDescriptor": {"1.52", "image store"},
	"Descriptor":              {"1.52", "image store"},
	"SizeRw":                  {"1.52", "image store"},

	"NetworkSettings.Bridge":                 {"1.52", "fields of old versions"},
	"NetworkSettings.HairpinMode":            {"1.52", "fields of old versions"},
	"NetworkSettings.LinkLocalIPv6Address":   {"1.52", "fields of old versions"},
	"NetworkSettings.LinkLocalIPv6PrefixLen": {"1.52", "fields of old versions"},
	"NetworkSettings.SecondaryIPAddresses":   {"1.52", "fields of old versions"},
	"NetworkSettings.SecondaryIPv6Addresses": {"1.52", "fields of old versions"},
}

// shapeNewer are parts of answers that dockerd has given another shape in its newer releases, whatever API version is asked for: they
// are not compared with a dockerd whose newest API version is below the one given.
var shapeNewer = map[string]string{
	"Config.OnBuild":          "1.52", // dropped
	"HostConfig.PortBindings": "1.52", // {} where it was null
	"Ports.IP":                "1.52", // "" where it was left out
}

// skipShape tells which paths are not compared with e.
func (e *apiEngine) skipShape(loose []string) func(path string) bool {
	return func(path string) bool {
		newer, differs := shapeNewer[path], shapeDiffers[path].since
		return slices.Contains(loose, path) || newer != "" && apiLess(e.newest, newer) || differs != "" && !apiLess(e.newest, differs)
	}
}

// shapeDiff compares keys and types of two JSON values. A path is written "Config.Labels", elements of a list as their list.
func shapeDiff(path string, ours, theirs any, skip func(path string) bool) []string {
	if skip(path) {
		return nil
	}
	if a, b := kindOf(ours), kindOf(theirs); a != b {
		return []string{fmt.Sprintf("%s: naru has %s, dockerd %s", path, text(ours), text(theirs))}
	}
	var diffs []string
	switch a := ours.(type) {
	case []any:
		b := theirs.([]any)
		for i := range min(len(a), len(b)) {
			diffs = append(diffs, shapeDiff(path, a[i], b[i], skip)...)
		}
	case map[string]any:
		b := theirs.(map[string]any)
		both := make(map[string]any, len(a))
		for k := range a {
			both[k] = nil
		}
		for k := range b {
			both[k] = nil
		}
		for _, k := range sortedKeys(both) {
			sub := strings.TrimPrefix(path+"."+k, ".")
			va, inA := a[k]
			vb, inB := b[k]
			switch {
			case skip(sub):
			case !inA:
				diffs = append(diffs, fmt.Sprintf("%s: naru has none, dockerd %s", sub, text(vb)))
			case !inB:
				diffs = append(diffs, fmt.Sprintf("%s: naru has %s, dockerd none", sub, text(va)))
			default:
				diffs = append(diffs, shapeDiff(sub, va, vb, skip)...)
			}
		}
	}
	return diffs
}

func kindOf(v any) string { return fmt.Sprintf("%T", v) }

func TestMatchJSON(t *testing.T) {
	for _, c := range []struct {
		want, got string
		ok        bool
	}{
		{`{"a":1}`, `{"a":1,"b":2}`, true},
		{`{"a":1}`, `{"a":2}`, false},
		{`{"a":"<absent>"}`, `{"b":2}`, true},
		{`{"a":"<absent>"}`, `{"a":null}`, false},
		{`{"a":null}`, `{}`, false},
		{`["<any>"]`, `[{"x":1}]`, true},
		{`["<any>"]`, `[]`, false},
		{`["...",{"a":2},1]`, `[1,{"a":2},3]`, true},
		{`["...",4]`, `[1]`, false},
		{`"/^x+$/"`, `"xx"`, true},
		{`"<time>"`, `"2026-01-02T03:04:05.678Z"`, true},
		{`"<time>"`, `"0001-01-01T00:00:00Z"`, false},
		{`"<list>"`, `null`, false},
	} {
		want, err1 := decode([]byte(c.want))
		got, err2 := decode([]byte(c.got))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if problems := matchJSON("", want, got); (len(problems) == 0) != c.ok {
			t.Errorf("%s against %s: %q", c.want, c.got, problems)
		}
	}
}
