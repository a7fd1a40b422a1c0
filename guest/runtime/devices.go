package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// checkDevices refuses what no start could give. Whether a device is there is seen at the start, as in Docker: it may be
// plugged in until then.
func checkDevices(hc *container.HostConfig) error {
	for _, d := range hc.Devices {
		switch {
		case d.PathOnHost == "":
			return invalid("invalid device: PathOnHost must not be empty")
		case d.PathInContainer != "" && !path.IsAbs(d.PathInContainer):
			return invalid("%s is not an absolute path", d.PathInContainer)
		case d.CgroupPermissions != "" && !validAccess(d.CgroupPermissions):
			return invalid("bad mode specified: %s", d.CgroupPermissions)
		}
	}
	for _, rule := range hc.DeviceCgroupRules {
		if _, err := parseDeviceRule(rule); err != nil {
			return err
		}
	}
	return nil
}

// validAccess is a composition of r, w and m, each once.
func validAccess(mode string) bool {
	if mode == "" || strings.Trim(mode, "rwm") != "" {
		return false
	}
	return strings.Count(mode, "r") <= 1 && strings.Count(mode, "w") <= 1 && strings.Count(mode, "m") <= 1
}

// devices returns the nodes for HostConfig.Devices, and all of the host's for a privileged container, and adds their
// cgroup rules to r.
func devices(hc *container.HostConfig, r *specs.LinuxResources) ([]specs.LinuxDevice, error) {
	if err := selectDrivers(hc.DeviceRequests); err != nil {
		return nil, err
	}
	r.Devices = deviceRules()
	var out []specs.LinuxDevice
	if hc.Privileged {
		out = hostDevices()
		r.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
	for _, d := range hc.Devices {
		target := d.PathInContainer
		if target == "" {
			target = d.PathOnHost
		}
		if hc.Privileged && path.Clean(d.PathOnHost) == path.Clean(target) {
			continue // there already
		}
		nodes, err := nodesAt(d.PathOnHost, path.Clean(target))
		if err != nil {
			return nil, errdefs.ErrUnknown.WithMessage(fmt.Sprintf("error gathering device information while adding custom device %q: %s", d.PathOnHost, err))
		}
		out = append(out, nodes...)
		if !hc.Privileged {
			r.Devices = append(r.Devices, allow(nodes, d.CgroupPermissions)...)
		}
	}
	if hc.Privileged {
		return out, nil
	}
	for _, rule := range hc.DeviceCgroupRules {
		parsed, err := parseDeviceRule(rule)
		if err != nil {
			return nil, err
		}
		r.Devices = append(r.Devices, parsed)
	}
	return out, nil
}

func allow(nodes []specs.LinuxDevice, access string) (rules []specs.LinuxDeviceCgroup) {
	if access == "" {
		access = "rwm"
	}
	for _, n := range nodes {
		rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: n.Type, Major: &n.Major, Minor: &n.Minor, Access: access})
	}
	return rules
}

// selectDrivers refuses every request for a device by its capabilities: this engine has no driver for GPUs, and
// none for CDI.
func selectDrivers(requests []container.DeviceRequest) error {
	if len(requests) == 0 {
		return nil
	}
	r := requests[0]
	return errdefs.ErrUnknown.WithMessage(fmt.Sprintf("could not select device driver %q with capabilities: %v", r.Driver, r.Capabilities))
}

// deviceRule is one of --device-cgroup-rule: "c 1:3 mr", "a *:* rwm".
var deviceRule = regexp.MustCompile(`^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$`)

func parseDeviceRule(rule string) (specs.LinuxDeviceCgroup, error) {
	m := deviceRule.FindStringSubmatch(rule)
	if m == nil {
		return specs.LinuxDeviceCgroup{}, invalid("invalid device cgroup rule format: '%s'", rule)
	}
	out := specs.LinuxDeviceCgroup{Allow: true, Type: m[1], Access: m[4]}
	for _, part := range []struct {
		name, text string
		to         **int64
	}{{"major", m[2], &out.Major}, {"minor", m[3], &out.Minor}} {
		if part.text == "*" {
			continue
		}
		n, err := strconv.ParseInt(part.text, 10, 64)
		if err != nil {
			return specs.LinuxDeviceCgroup{}, invalid("invalid %s value in device cgroup rule format: '%s'", part.name, rule)
		}
		*part.to = &n
	}
	return out, nil
}

var errNotDevice = errors.New("not a device node")

// nodesAt is the device at source, or all devices below it when it is a folder, as seen at target.
func nodesAt(source, target string) ([]specs.LinuxDevice, error) {
	if real, err := filepath.EvalSymlinks(source); err == nil {
		source = real
	}
	node, err := deviceNode(source, target)
	if err == nil {
		return []specs.LinuxDevice{node}, nil
	}
	if !errors.Is(err, errNotDevice) {
		return nil, err
	}
	var out []specs.LinuxDevice
	if info, statErr := os.Stat(source); statErr == nil && info.IsDir() {
		_ = filepath.WalkDir(source, func(at string, d fs.DirEntry, err error) error {
			if err != nil || d.Type()&fs.ModeDevice == 0 {
				return nil
			}
			if node, err := deviceNode(at, target+strings.TrimPrefix(at, source)); err == nil {
				out = append(out, node)
			}
			return nil
		})
	}
	if len(out) == 0 {
		return nil, err
	}
	return out, nil
}

func deviceNode(source, target string) (specs.LinuxDevice, error) {
	var st unix.Stat_t
	if err := unix.Stat(source, &st); err != nil {
		return specs.LinuxDevice{}, err
	}
	var typ string
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		typ = "c"
	case unix.S_IFBLK:
		typ = "b"
	default:
		return specs.LinuxDevice{}, errNotDevice
	}
	mode := os.FileMode(st.Mode & 0o7777)
	return specs.LinuxDevice{
		Path: target, Type: typ, FileMode: &mode, UID: &st.Uid, GID: &st.Gid,
		Major: int64(unix.Major(uint64(st.Rdev))), Minor: int64(unix.Minor(uint64(st.Rdev))),
	}, nil
}

// runtimeNodes are made by the runtime itself in every container.
var runtimeNodes = map[string]bool{
	"/dev/null": true, "/dev/zero": true, "/dev/full": true, "/dev/random": true, "/dev/urandom": true, "/dev/tty": true,
	"/dev/console": true, "/dev/ptmx": true,
}

// hostDevices lists every device node below /dev. What vanishes meanwhile is left out.
func hostDevices() []specs.LinuxDevice {
	var out []specs.LinuxDevice
	_ = filepath.WalkDir("/dev", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() {
			switch path {
			case "/dev/pts", "/dev/shm", "/dev/fd", "/dev/mqueue":
				return fs.SkipDir
			}
			return nil
		}
		if d.Type()&fs.ModeDevice != 0 && !runtimeNodes[path] {
			if node, err := deviceNode(path, path); err == nil {
				out = append(out, node)
			}
		}
		return nil
	})
	return out
}
