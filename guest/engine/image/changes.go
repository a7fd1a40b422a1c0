package image

import (
	"bufio"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/go-connections/nat"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// ApplyChanges applies Dockerfile instructions, as `import --change` and `commit --change` give them, to an image's config.
// Variables in them are those of the config.
func ApplyChanges(c *dockerspec.DockerOCIImageConfig, changes []string) error {
	e := &editor{c: c}
	for _, line := range instructionLines(strings.Join(changes, "\n")) {
		instruction, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		apply, ok := instructions[strings.ToUpper(instruction)]
		if !ok {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is not a valid change command", instruction))
		}
		if rest == "" {
			return errdefs.ErrInvalidArgument.WithMessage(strings.ToUpper(instruction) + " requires at least one argument")
		}
		if err := apply(e, rest); err != nil {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s: %s", line, err))
		}
	}
	return nil
}

// instructionLines joins lines that end with a backslash to the next, and drops comments and empty ones.
func instructionLines(text string) []string {
	var out []string
	joined := ""
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for lines.Scan() {
		line := strings.TrimSpace(strings.ReplaceAll(lines.Text(), "\t", " "))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if more, ok := strings.CutSuffix(line, `\`); ok {
			joined += more
			continue
		}
		out, joined = append(out, joined+line), ""
	}
	if joined != "" {
		out = append(out, strings.TrimSpace(joined))
	}
	return out
}

// editor changes a config by one instruction after the other.
type editor struct {
	c      *dockerspec.DockerOCIImageConfig
	cmdSet bool // by an instruction: a later ENTRYPOINT leaves it
}

// instructions are those that Docker takes for a change.
var instructions = map[string]func(e *editor, rest string) error{
	"CMD": func(e *editor, rest string) error {
		e.c.Cmd, e.cmdSet = e.command(rest), true
		return nil
	},
	"ENTRYPOINT": func(e *editor, rest string) error {
		e.c.Entrypoint = e.command(rest)
		if !e.cmdSet {
			e.c.Cmd = nil // it was meant for the old one
		}
		return nil
	},
	"ENV":         (*editor).env,
	"LABEL":       (*editor).label,
	"EXPOSE":      (*editor).expose,
	"VOLUME":      (*editor).volume,
	"HEALTHCHECK": (*editor).healthcheck,
	"ONBUILD":     (*editor).onBuild,
	"WORKDIR": func(e *editor, rest string) error {
		return e.word(rest, func(w string) {
			if !path.IsAbs(w) {
				w = path.Join("/", e.c.WorkingDir, w)
			}
			e.c.WorkingDir = path.Clean(w)
		})
	},
	"USER":       func(e *editor, rest string) error { return e.word(rest, func(w string) { e.c.User = w }) },
	"STOPSIGNAL": func(e *editor, rest string) error { return e.word(rest, func(w string) { e.c.StopSignal = w }) },
}

// command is the exec form when rest is a JSON list of strings, else the shell form.
func (e *editor) command(rest string) []string {
	var argv []string
	if json.Unmarshal([]byte(rest), &argv) == nil {
		return argv
	}
	shell := e.c.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(shell[:len(shell):len(shell)], rest)
}

// word is all of rest as one, without its quotes and with its variables filled in.
func (e *editor) word(rest string, set func(string)) error {
	w, err := expandWord(rest, e.lookup)
	if err == nil {
		set(w)
	}
	return err
}

func (e *editor) lookup(name string) (string, bool) {
	for _, kv := range e.c.Env {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v, true
		}
	}
	return "", false
}

func (e *editor) env(rest string) error {
	set := map[string]string{}
	var order []string
	err := e.pairs(rest, func(key, value string) {
		if _, again := set[key]; !again {
			order = append(order, key)
		}
		set[key] = value
	})
	for _, key := range order { // none of them sees another of the same instruction
		e.c.Env = setEnv(e.c.Env, key, set[key])
	}
	return err
}

func (e *editor) label(rest string) error {
	labels := map[string]string{}
	for k, v := range e.c.Labels {
		labels[k] = v
	}
	e.c.Labels = labels
	return e.pairs(rest, func(key, value string) { labels[key] = value })
}

func (e *editor) expose(rest string) error {
	words, err := expandWords(rest, e.lookup)
	if err != nil {
		return err
	}
	ports, _, err := nat.ParsePortSpecs(words)
	exposed := cloneSet(e.c.ExposedPorts)
	for port := range ports {
		exposed[string(port)] = struct{}{}
	}
	e.c.ExposedPorts = exposed
	return err
}

func (e *editor) volume(rest string) error {
	var list []string
	if json.Unmarshal([]byte(rest), &list) != nil {
		list = strings.Fields(rest)
	}
	volumes := cloneSet(e.c.Volumes)
	for _, v := range list {
		v, err := expandWord(v, e.lookup)
		if err != nil {
			return err
		}
		if v = strings.TrimSpace(v); v == "" {
			return fmt.Errorf("VOLUME specified can not be an empty string")
		}
		volumes[v] = struct{}{}
	}
	e.c.Volumes = volumes
	return nil
}

func cloneSet(in map[string]struct{}) map[string]struct{} {
	out := map[string]struct{}{}
	for k := range in {
		out[k] = struct{}{}
	}
	return out
}

// onBuild keeps an instruction for a build from the image.
func (e *editor) onBuild(rest string) error {
	switch trigger, _, _ := strings.Cut(strings.ToUpper(rest), " "); trigger {
	case "ONBUILD":
		return fmt.Errorf("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed") //nolint:revive // Docker's words
	case "MAINTAINER", "FROM":
		return fmt.Errorf("%s isn't allowed as an ONBUILD trigger", trigger)
	}
	e.c.OnBuild = append(e.c.OnBuild[:len(e.c.OnBuild):len(e.c.OnBuild)], rest)
	return nil
}

// pairs reads `key=value …`, with quotes, or the old `key value`.
func (e *editor) pairs(rest string, set func(key, value string)) error {
	first, value, spaced := strings.Cut(rest, " ")
	if !strings.Contains(first, "=") {
		if !spaced {
			return fmt.Errorf("must have two arguments")
		}
		return e.word(strings.TrimSpace(value), func(v string) { set(first, v) })
	}
	words, err := expandWords(rest, e.lookup)
	if err != nil {
		return err
	}
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			return fmt.Errorf("can't find = in %q. Must be of the form: name=value", w)
		}
		set(key, value)
	}
	return nil
}

// setEnv returns env with the variable set; env itself stays.
func setEnv(env []string, key, value string) []string {
	out := append([]string(nil), env...)
	for i, e := range out {
		if k, _, _ := strings.Cut(e, "="); k == key {
			out[i] = key + "=" + value
			return out
		}
	}
	return append(out, key+"="+value)
}
