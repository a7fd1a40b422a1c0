package runtime

import (
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ulimitNames are Docker's; the runtime adds RLIMIT_.
var ulimitNames = []string{
	"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime",
	"sigpending", "stack",
}

// ulimits refuses what the runtime could not set: dockerd leaves that to the start.
func (c *checker) ulimits() error {
	for _, u := range c.r.Ulimits {
		switch {
		case u == nil:
			return invalid("invalid ulimit: must not be null")
		case !slices.Contains(ulimitNames, u.Name):
			return invalid("invalid ulimit type: %s", u.Name)
		case u.Soft < -1 || u.Hard < -1:
			return invalid("invalid ulimit %s: %d:%d: limits must be positive, or -1 for unlimited", u.Name, u.Soft, u.Hard)
		case u.Hard != -1 && (u.Soft > u.Hard || u.Soft == -1):
			return invalid("ulimit soft limit must be less than or equal to hard limit: %d > %d", u.Soft, u.Hard)
		}
	}
	return nil
}

// rlimits are the limits of the first process and of each exec. -1 is unlimited.
func rlimits(list []*container.Ulimit) []specs.POSIXRlimit {
	var out []specs.POSIXRlimit
	for _, u := range list {
		out = append(out, specs.POSIXRlimit{
			Type: "RLIMIT_" + strings.ToUpper(u.Name), Soft: uint64(u.Soft), Hard: uint64(u.Hard),
		})
	}
	return out
}
