package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"naru/guest/api"
)

// engineSettings are the flags of `engine start` and `machine start` that are stored for the engine.
type engineSettings struct {
	flags            *pflag.FlagSet
	remap, logDriver string
	logOpts          []string
	mirrors          []string
	insecure         []string
}

func (e *engineSettings) add(f *pflag.FlagSet) {
	e.flags = f
	f.StringVar(&e.remap, "userns-remap", "", remapUsage)
	f.StringVar(&e.logDriver, "log-driver", "", `Log driver of containers that name none: "json-file", "local" or "none"`)
	f.StringArrayVar(&e.logOpts, "log-opt", nil, `Option of that log driver, e.g. max-size=10m; "" for none at all`)
	f.StringArrayVar(&e.mirrors, "registry-mirror", nil, `Mirror of Docker Hub, e.g. https://mirror.example.com; "" for none at all`)
	f.StringArrayVar(&e.insecure, "insecure-registry", nil, `Registry (host[:port] or address range) that needs no valid certificate, nor TLS; "" for none at all`)
}

// apply puts what the user said into s.
func (e *engineSettings) apply(s *api.EngineSettings) (changed bool, err error) {
	if e.flags.Changed("userns-remap") {
		s.UsernsRemap, changed = e.remap, true
	}
	if e.flags.Changed("log-driver") {
		s.LogDriver, changed = e.logDriver, true
	}
	if e.flags.Changed("registry-mirror") {
		s.RegistryMirrors, changed = named(e.mirrors), true
	}
	if e.flags.Changed("insecure-registry") {
		s.InsecureRegistries, changed = named(e.insecure), true
	}
	if !e.flags.Changed("log-opt") {
		return changed, nil
	}
	s.LogOpts = map[string]string{}
	for _, o := range e.logOpts {
		name, value, ok := strings.Cut(o, "=")
		if !ok && o != "" {
			return false, fmt.Errorf("invalid --log-opt: %q is no NAME=VALUE", o)
		}
		if ok {
			s.LogOpts[name] = value
		}
	}
	return true, nil
}

// named are the values of a flag that can be given several times, without the "" that means none.
func named(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}
