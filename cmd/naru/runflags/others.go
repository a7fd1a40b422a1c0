package runflags

import (
	"fmt"

	"github.com/spf13/pflag"
)

// windowsFlags are Docker's for containers of Windows. They parse, so that the error can say what they are.
var windowsFlags = []string{"cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"}

// addOthers defines what is accepted and has no effect, or is refused with Docker's words.
func addOthers(f *pflag.FlagSet) {
	for _, name := range windowsFlags {
		f.String(name, "", "(Windows only)")
		_ = f.MarkHidden(name) // an unknown name would be a bug that every test shows
	}
	f.Var(&bytesValue{}, "kernel-memory", "Kernel memory limit (deprecated)")
	f.Bool("disable-content-trust", true, "Skip image verification (deprecated)")
	for name := range deprecated {
		_ = f.MarkHidden(name)
	}
}

// deprecated are flags without effect, and why. pflag would say so on stdout.
var deprecated = map[string]string{
	"kernel-memory":         "and no longer supported by the kernel",
	"disable-content-trust": "support for docker content trust was removed",
}

func (o *Flags) warnings() (list []string) {
	for _, name := range sortedKeys(deprecated) {
		if o.changed(name) {
			list = append(list, fmt.Sprintf("Flag --%s has been deprecated, %s", name, deprecated[name]))
		}
	}
	return list
}

func (o *Flags) checkOthers() error {
	for _, name := range windowsFlags {
		if o.changed(name) {
			return fmt.Errorf(`"--%s" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux`, name)
		}
	}
	return nil
}
