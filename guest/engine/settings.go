package engine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"naru/guest/api"
	"naru/guest/runtime"
)

// settingsFile is in the engine's root. In the VM the config document has the settings instead.
const settingsFile = "settings.json"

// LoadSettings reads the settings that an earlier engine of this keeper has kept in run, else root/settings.json; without
// one all settings are zero. What it does not know it refuses.
func LoadSettings(root, run string) (s api.EngineSettings, err error) {
	if s, err = readSettings(filepath.Join(run, settingsFile)); err == nil {
		return s, nil
	}
	if s, err = readSettings(filepath.Join(root, settingsFile)); errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	return s, err
}

// KeepSettings keeps settings that were found right, for the engines that follow on this keeper: containers outlive
// engines, so that nothing may change before they have all ended.
func KeepSettings(run string, s api.EngineSettings) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	kept := filepath.Join(run, settingsFile)
	if err := os.WriteFile(kept+".new", data, 0o600); err != nil {
		return fmt.Errorf("keep settings: %w", err)
	}
	return os.Rename(kept+".new", kept)
}

func readSettings(file string) (s api.EngineSettings, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return s, fmt.Errorf("read settings: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return s, fmt.Errorf("read settings %s: %w", file, err)
	}
	return s, nil
}

// The ids of "default": 65536 in a part of the numbers that systemd and the distributions leave unused, so that no user of
// the host has them, nor a range of /etc/subuid.
const defaultFirst, defaultSize = 0x7000_0000, 65536

// ParseRemap reads the setting userns-remap: "" for none; "default"; "user" or "user:group", whose ranges of /etc/subuid and
// /etc/subgid are taken; or the ids themselves, "300000-365535" or "300000-365535:400000-465535".
func ParseRemap(wish string) (*runtime.IDMap, error) {
	if wish == "" {
		return nil, nil
	}
	user, group, both := strings.Cut(wish, ":")
	if !both {
		group = user
	}
	m := &runtime.IDMap{}
	var err error
	if m.UIDs, err = remapRange(user, "/etc/subuid"); err == nil {
		m.GIDs, err = remapRange(group, "/etc/subgid")
	}
	if err == nil {
		err = m.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("userns-remap %q: %w", wish, err)
	}
	return m, nil
}

func remapRange(wish, file string) ([]runtime.IDRange, error) {
	if wish == "default" {
		return []runtime.IDRange{{Host: defaultFirst, Size: defaultSize}}, nil
	}
	if first, last, ok := strings.Cut(wish, "-"); ok {
		from, err := strconv.ParseUint(first, 10, 32)
		to, err2 := strconv.ParseUint(last, 10, 32)
		if err == nil && err2 == nil {
			if to < from || to == math.MaxUint32 {
				return nil, fmt.Errorf("bad range %s", wish)
			}
			return []runtime.IDRange{{Host: uint32(from), Size: uint32(to - from + 1)}}, nil
		}
	}
	return subordinate(wish, file)
}

// subordinate are the ranges of a user or group in /etc/subuid or /etc/subgid, one behind the other from 0 on.
func subordinate(name, file string) ([]runtime.IDRange, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []runtime.IDRange
	next := uint64(0)
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		f := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(f) != 3 || f[0] != name {
			continue
		}
		first, err := strconv.ParseUint(f[1], 10, 32)
		size, err2 := strconv.ParseUint(f[2], 10, 32)
		if err != nil || err2 != nil || next+size > math.MaxUint32 {
			return nil, fmt.Errorf("bad line in %s: %s", file, lines.Text())
		}
		out = append(out, runtime.IDRange{Container: uint32(next), Host: uint32(first), Size: uint32(size)})
		next += size
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no ranges of %s in %s", name, file)
	}
	return out, nil
}

// SecurityOptions lists what separates containers here, in the words and order of Docker's info.
func (e *Engine) SecurityOptions() []string {
	options := []string{"name=seccomp,profile=builtin"}
	if runtime.AppArmorEnabled() {
		options = slices.Insert(options, 0, "name=apparmor")
	}
	if e.Remap != nil {
		options = append(options, "name=userns")
	}
	if runtime.DefaultCgroupns().IsPrivate() { // cgroup v2
		options = append(options, "name=cgroupns")
	}
	return options
}
