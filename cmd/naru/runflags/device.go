package runflags

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// devices is the flag --device: host[:container][:rwm], or the qualified name of a CDI device.
type devices struct {
	mapped []container.DeviceMapping
	cdi    []string
}

func (d *devices) String() string { return "" }
func (d *devices) Type() string   { return "list" }

func (d *devices) Set(value string) error {
	if isCDI(value) {
		d.cdi = append(d.cdi, value)
		return nil
	}
	m, err := parseDevice(value)
	if err != nil {
		return err
	}
	d.mapped = append(d.mapped, m)
	return nil
}

// isCDI tells whether value is vendor.com/class=name.
func isCDI(value string) bool {
	kind, name, ok := strings.Cut(value, "=")
	return ok && name != "" && strings.Contains(kind, "/") && kind[0] != '/'
}

func parseDevice(value string) (container.DeviceMapping, error) {
	m := container.DeviceMapping{CgroupPermissions: "rwm"}
	parts := strings.Split(value, ":")
	if len(parts) > 3 || parts[0] == "" {
		return m, fmt.Errorf("bad format for path: %s", value)
	}
	m.PathOnHost, m.PathInContainer = parts[0], parts[0]
	if len(parts) > 1 && isDeviceMode(parts[1]) {
		m.CgroupPermissions = parts[1]
	} else if len(parts) > 1 {
		m.PathInContainer = parts[1]
	}
	if len(parts) > 2 {
		if m.CgroupPermissions = parts[2]; !isDeviceMode(parts[2]) {
			return m, fmt.Errorf("bad mode specified: %s", parts[2])
		}
	}
	if !strings.HasPrefix(m.PathInContainer, "/") {
		return m, fmt.Errorf("%s is not an absolute path", m.PathInContainer)
	}
	m.PathInContainer = path.Clean(m.PathInContainer)
	return m, nil
}

// isDeviceMode tells whether s is made of r, w and m, each once.
func isDeviceMode(s string) bool {
	return s != "" && strings.Trim(s, "rwm") == "" && len(s) <= 3 &&
		strings.Count(s, "r") <= 1 && strings.Count(s, "w") <= 1 && strings.Count(s, "m") <= 1
}

var deviceRule = regexp.MustCompile(`^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$`)

func checkDeviceRule(s string) (string, error) {
	if !deviceRule.MatchString(s) {
		return "", fmt.Errorf("invalid device cgroup format '%s'", s)
	}
	return s, nil
}

func (d *devices) requests() []container.DeviceRequest {
	if len(d.cdi) == 0 {
		return nil
	}
	return []container.DeviceRequest{{Driver: "cdi", DeviceIDs: d.cdi}}
}

// parseRestart reads no, always, unless-stopped, on-failure[:n].
func parseRestart(s string) (p container.RestartPolicy, err error) {
	if s == "" {
		return p, nil
	}
	name, count, has := strings.Cut(s, ":")
	if name == "" {
		return p, errors.New("invalid restart policy format: no policy provided before colon")
	}
	p.Name = container.RestartPolicyMode(name)
	if has {
		if _, err := fmt.Sscanf(count+"\n", "%d\n", &p.MaximumRetryCount); err != nil {
			return p, errors.New("invalid restart policy format: maximum retry count must be an integer")
		}
	}
	return p, nil
}
