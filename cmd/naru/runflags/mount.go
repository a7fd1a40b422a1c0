package runflags

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/mount"
)

// mounts is the flag --mount.
type mounts struct{ list []mount.Mount }

func (m *mounts) String() string { return "" }
func (m *mounts) Type() string   { return "mount" }

func (m *mounts) Set(s string) error {
	one, err := parseMount(s)
	if err != nil {
		return err
	}
	m.list = append(m.list, *one)
	return nil
}

// mountParser collects one --mount; the options of a type are made only when they are named.
type mountParser struct {
	mount.Mount
	families []string // prefixes of the options that were given: "bind", "volume", …
}

func parseMount(s string) (*mount.Mount, error) {
	fields, err := csv.NewReader(strings.NewReader(strings.TrimSpace(s))).Read()
	if err != nil {
		if s == "" {
			err = errors.New("value is empty")
		}
		return nil, err
	}
	p := mountParser{Mount: mount.Mount{Type: mount.TypeVolume}}
	for _, field := range fields {
		key, value, has := strings.Cut(field, "=")
		if err := p.set(strings.ToLower(key), value, has, field); err != nil {
			return nil, err
		}
	}
	return p.finish()
}

// flagKeys may stand without a value, and mean true then.
var flagKeys = []string{"readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"}

func (p *mountParser) set(key, value string, has bool, field string) error {
	if !has && !slices.Contains(flagKeys, key) {
		return fmt.Errorf("invalid field '%s' must be a key=value pair", field)
	}
	family, _, isOption := strings.Cut(key, "-")
	if isOption && !slices.Contains(p.families, family) {
		p.families = append(p.families, family)
	}
	switch key {
	case "type":
		p.Type = mount.Type(strings.ToLower(value))
	case "source", "src":
		p.Source = value
	case "target", "dst", "destination":
		p.Target = value
	case "readonly", "ro":
		return setFlag(&p.ReadOnly, key, value, has)
	case "consistency":
		p.Consistency = mount.Consistency(strings.ToLower(value))
	default:
		return p.setOption(key, value, has, field)
	}
	return nil
}

func setFlag(b *bool, key, value string, has bool) (err error) {
	if !has {
		*b = true
		return nil
	}
	if *b, err = strconv.ParseBool(value); err != nil {
		return fmt.Errorf("invalid value for %s: %s", key, value)
	}
	return nil
}

func (p *mountParser) setOption(key, value string, has bool, field string) error {
	switch key {
	case "bind-propagation":
		p.bind().Propagation = mount.Propagation(strings.ToLower(value))
	case "bind-nonrecursive":
		return setFlag(&p.bind().NonRecursive, key, value, has)
	case "bind-create-src":
		return setFlag(&p.bind().CreateMountpoint, key, value, has)
	case "bind-recursive":
		return p.bindRecursive(value)
	case "volume-nocopy":
		return setFlag(&p.volume().NoCopy, key, value, has)
	case "volume-subpath":
		p.volume().Subpath = value
	case "volume-label":
		k, v, _ := strings.Cut(value, "=")
		setKey(&p.volume().Labels, k, v)
	case "volume-driver":
		p.driver().Name = value
	case "volume-opt":
		k, v, _ := strings.Cut(value, "=")
		setKey(&p.driver().Options, k, v)
	case "image-subpath":
		if p.ImageOptions == nil {
			p.ImageOptions = &mount.ImageOptions{}
		}
		p.ImageOptions.Subpath = value
	case "tmpfs-size":
		size, err := units.RAMInBytes(value)
		if err != nil {
			return fmt.Errorf("invalid value for %s: %s", key, value)
		}
		p.tmpfs().SizeBytes = size
	case "tmpfs-mode":
		mode, err := strconv.ParseUint(value, 8, 32)
		if err != nil {
			return fmt.Errorf("invalid value for %s: %s", key, value)
		}
		p.tmpfs().Mode = os.FileMode(mode)
	default:
		return fmt.Errorf("unexpected key '%s' in '%s'", key, field)
	}
	return nil
}

func (p *mountParser) bindRecursive(value string) error {
	switch value {
	case "enabled":
	case "disabled":
		p.bind().NonRecursive = true
	case "writable":
		p.bind().ReadOnlyNonRecursive = true
	case "readonly":
		p.bind().ReadOnlyForceRecursive = true
	default:
		return fmt.Errorf("invalid value for bind-recursive: %s (must be enabled, disabled, writable, or readonly)", value)
	}
	return nil
}

func (p *mountParser) bind() *mount.BindOptions {
	if p.BindOptions == nil {
		p.BindOptions = &mount.BindOptions{}
	}
	return p.BindOptions
}

func (p *mountParser) volume() *mount.VolumeOptions {
	if p.VolumeOptions == nil {
		p.VolumeOptions = &mount.VolumeOptions{}
	}
	return p.VolumeOptions
}

func (p *mountParser) driver() *mount.Driver {
	v := p.volume()
	if v.DriverConfig == nil {
		v.DriverConfig = &mount.Driver{}
	}
	return v.DriverConfig
}

func (p *mountParser) tmpfs() *mount.TmpfsOptions {
	if p.TmpfsOptions == nil {
		p.TmpfsOptions = &mount.TmpfsOptions{}
	}
	return p.TmpfsOptions
}

func setKey(m *map[string]string, k, v string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[k] = v
}

func (p *mountParser) finish() (*mount.Mount, error) {
	if p.Type == "" {
		return nil, errors.New("type is required")
	}
	if p.Target == "" {
		return nil, errors.New("target is required")
	}
	for _, family := range p.families {
		if string(p.Type) != family {
			return nil, fmt.Errorf("cannot mix '%s-*' options with mount type '%s'", family, p.Type)
		}
	}
	if b := p.BindOptions; b != nil && b.ReadOnlyNonRecursive && !p.ReadOnly {
		return nil, errors.New("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction")
	}
	if p.Type == mount.TypeBind && isRelative(p.Source) {
		abs, err := filepath.Abs(p.Source)
		if err != nil {
			return nil, err
		}
		p.Source = abs
	}
	return &p.Mount, nil
}

// isRelative tells whether a source is meant from the working folder: "." and ".." and what is below them. Another
// name without a slash in front is a volume's.
func isRelative(source string) bool {
	first, _, _ := strings.Cut(filepath.ToSlash(source), "/")
	return first == "." || first == ".."
}
