package image

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/go-connections/nat"
	"github.com/google/shlex"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// applyChanges applies Dockerfile instructions, as `docker import --change` gives them, to an image's config.
func applyChanges(c *dockerspec.DockerOCIImageConfig, changes []string) error {
	for _, change := range changes {
		instruction, rest, _ := strings.Cut(strings.TrimSpace(change), " ")
		rest = strings.TrimSpace(rest)
		apply, ok := instructions[strings.ToUpper(instruction)]
		if !ok {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is not a valid change command", instruction))
		}
		if rest == "" {
			return errdefs.ErrInvalidArgument.WithMessage(strings.ToUpper(instruction) + " requires at least one argument")
		}
		if err := apply(c, rest); err != nil {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s: %s", change, err))
		}
	}
	return nil
}

var instructions = map[string]func(c *dockerspec.DockerOCIImageConfig, rest string) error{
	"CMD": func(c *dockerspec.DockerOCIImageConfig, rest string) error {
		c.Cmd = command(rest)
		return nil
	},
	"ENTRYPOINT": func(c *dockerspec.DockerOCIImageConfig, rest string) error {
		c.Entrypoint = command(rest)
		return nil
	},
	"ENV": func(c *dockerspec.DockerOCIImageConfig, rest string) error {
		return pairs(rest, func(key, value string) { c.Env = setEnv(c.Env, key, value) })
	},
	"LABEL": func(c *dockerspec.DockerOCIImageConfig, rest string) error {
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		return pairs(rest, func(key, value string) { c.Labels[key] = value })
	},
	"EXPOSE": func(c *dockerspec.DockerOCIImageConfig, rest string) error {
		ports, _, err := nat.ParsePortSpecs(strings.Fields(rest))
		if c.ExposedPorts == nil {
			c.ExposedPorts = map[string]struct{}{}
		}
		for port := range ports {
			c.ExposedPorts[string(port)] = struct{}{}
		}
		return err
	},
	"VOLUME": func(c *dockerspec.DockerOCIImageConfig, rest string) error {
		if c.Volumes == nil {
			c.Volumes = map[string]struct{}{}
		}
		for _, v := range list(rest) {
			c.Volumes[v] = struct{}{}
		}
		return nil
	},
	"WORKDIR": func(c *dockerspec.DockerOCIImageConfig, rest string) error {
		c.WorkingDir = unquoted(rest)
		return nil
	},
	"USER": func(c *dockerspec.DockerOCIImageConfig, rest string) error {
		c.User = unquoted(rest)
		return nil
	},
	"STOPSIGNAL": func(c *dockerspec.DockerOCIImageConfig, rest string) error {
		c.StopSignal = unquoted(rest)
		return nil
	},
}

// command is the exec form when rest is a JSON list of strings, else the shell form.
func command(rest string) []string {
	var argv []string
	if json.Unmarshal([]byte(rest), &argv) == nil {
		return argv
	}
	return []string{"/bin/sh", "-c", rest}
}

func list(rest string) []string {
	var items []string
	if json.Unmarshal([]byte(rest), &items) == nil {
		return items
	}
	return strings.Fields(rest)
}

func unquoted(rest string) string {
	if words, err := shlex.Split(rest); err == nil && len(words) == 1 {
		return words[0]
	}
	return rest
}

// pairs reads `key=value …`, with quotes, or the old `key value`.
func pairs(rest string, set func(key, value string)) error {
	first, value, spaced := strings.Cut(rest, " ")
	if !strings.Contains(first, "=") && spaced {
		set(first, strings.TrimSpace(value))
		return nil
	}
	words, err := shlex.Split(rest)
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

func setEnv(env []string, key, value string) []string {
	for i, e := range env {
		if k, _, _ := strings.Cut(e, "="); k == key {
			env[i] = key + "=" + value
			return env
		}
	}
	return append(env, key+"="+value)
}
