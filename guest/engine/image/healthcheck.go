package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// minCheckTime is the least duration that Docker takes in a health check.
const minCheckTime = time.Millisecond

// healthcheck reads `NONE`, or `[--interval=…] [--timeout=…] [--start-period=…] [--start-interval=…] [--retries=…] CMD …`.
func (e *editor) healthcheck(rest string) error {
	h := &dockerspec.HealthcheckConfig{}
	for strings.HasPrefix(rest, "--") {
		flag, more, _ := strings.Cut(rest, " ")
		if err := healthFlag(h, flag); err != nil {
			return err
		}
		rest = strings.TrimSpace(more)
	}
	kind, command, _ := strings.Cut(rest, " ")
	command = strings.TrimSpace(command)
	switch strings.ToUpper(kind) {
	case "NONE":
		if command != "" {
			return errors.New("HEALTHCHECK NONE takes no arguments")
		}
		h = &dockerspec.HealthcheckConfig{Test: []string{"NONE"}}
	case "CMD":
		if command == "" {
			return errors.New("Missing command after HEALTHCHECK CMD") //nolint:revive // Docker's words
		}
		var argv []string
		if json.Unmarshal([]byte(command), &argv) == nil {
			h.Test = append([]string{"CMD"}, argv...)
		} else {
			h.Test = []string{"CMD-SHELL", command}
		}
	default:
		return fmt.Errorf("Unknown type %q in HEALTHCHECK (try CMD)", kind) //nolint:revive // Docker's words
	}
	e.c.Healthcheck = h
	return nil
}

func healthFlag(h *dockerspec.HealthcheckConfig, flag string) error {
	name, value, ok := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
	if !ok {
		return fmt.Errorf("Missing a value on flag: %s", name) //nolint:revive // Docker's words
	}
	durations := map[string]*time.Duration{
		"interval": &h.Interval, "timeout": &h.Timeout, "start-period": &h.StartPeriod, "start-interval": &h.StartInterval,
	}
	if into := durations[name]; into != nil {
		d, err := time.ParseDuration(value)
		if err != nil {
			return err
		}
		if d != 0 && d < minCheckTime {
			return fmt.Errorf("Interval %q cannot be less than %s", name, minCheckTime) //nolint:revive // Docker's words
		}
		*into = d
		return nil
	}
	if name != "retries" {
		return fmt.Errorf("Unknown flag: %s", name) //nolint:revive // Docker's words
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil {
		return err
	}
	if n < 0 {
		return fmt.Errorf("--retries cannot be negative (%d)", n)
	}
	h.Retries = int(n)
	return nil
}
