package volume

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

// point is one mount that a container asks for.
type point struct {
	container.MountPoint
	noCopy        bool              // do not fill an empty volume from the image
	createSource  bool              // make a missing folder on the host
	flatReadOnly  bool              // read-only for the mount itself, not for those below it
	forceReadOnly bool              // read-only for all below it, or an error
	flat          bool              // without the mounts below the source
	subpath       string            // the part of the volume or image to mount; "" for all
	labels        map[string]string // for a volume that is made for it
	driverOptions map[string]string // likewise
	options       []string          // of a tmpfs
	hidden        bool              // not shown by inspect: --tmpfs
}

// invalid is a wrong request.
func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// The words of a -v mode; of each group only one may be given.
var modeGroups = [][]string{
	{"rw", "ro"},
	{"z", "Z"}, // SELinux labels: without effect where SELinux is off
	{"nocopy"},
	{"rprivate", "private", "rshared", "shared", "rslave", "slave"},
	{"consistent", "cached", "delegated", "default"}, // Docker Desktop's: without effect
}

func validMode(mode string) bool {
	if mode == "" {
		return true
	}
	words := strings.Split(mode, ",")
	for _, w := range words {
		if !slices.ContainsFunc(modeGroups, func(g []string) bool { return slices.Contains(g, w) }) {
			return false
		}
	}
	for _, g := range modeGroups {
		n := 0
		for _, w := range words {
			if slices.Contains(g, w) {
				n++
			}
		}
		if n > 1 {
			return false
		}
	}
	return true
}

// parseBind reads one -v: "destination", "source:destination" or "source:destination:mode".
func parseBind(raw string) (*point, error) {
	bad := func(why string) error { return invalid("invalid volume specification: '%s'%s", raw, why) }
	parts := strings.SplitN(raw, ":", 4)
	if parts[0] == "" || len(parts) > 3 {
		return nil, bad("")
	}
	spec, mode := mount.Mount{Type: mount.TypeVolume}, ""
	switch len(parts) {
	case 1:
		spec.Target = parts[0]
	case 2:
		if validMode(parts[1]) { // "destination:mode" is not a thing
			return nil, bad("")
		}
		spec.Source, spec.Target = parts[0], parts[1]
	case 3:
		spec.Source, spec.Target, mode = parts[0], parts[1], parts[2]
	}
	if !validMode(mode) {
		return nil, invalid("invalid mode: %s", mode)
	}
	if strings.HasPrefix(spec.Source, "/") {
		spec.Type = mount.TypeBind
	} else if spec.Source != "" {
		if err := checkName(spec.Source); err != nil {
			return nil, err
		}
	}
	applyMode(&spec, mode)
	p, err := parseMount(spec)
	if err != nil {
		return nil, bad(": " + err.Error())
	}
	p.Mode, p.createSource = mode, true
	if p.Mode == "" && p.Type == mount.TypeVolume {
		p.Mode = "z"
	}
	return p, nil
}

// applyMode turns the words of a valid mode into the fields of a --mount.
func applyMode(spec *mount.Mount, mode string) {
	for _, w := range strings.Split(mode, ",") {
		switch {
		case w == "ro":
			spec.ReadOnly = true
		case w == "nocopy":
			spec.VolumeOptions = &mount.VolumeOptions{NoCopy: true}
		case slices.Contains(modeGroups[3], w):
			spec.BindOptions = &mount.BindOptions{Propagation: mount.Propagation(w)}
		}
	}
}

// parseMount reads one --mount, and checks everything that does not depend on the host's files.
func parseMount(spec mount.Mount) (*point, error) {
	bad := func(format string, args ...any) error {
		return invalid("invalid mount config for type %q: %s", spec.Type, fmt.Sprintf(format, args...))
	}
	if spec.Target == "" {
		return nil, bad("field Target must not be empty")
	}
	if path.Clean(spec.Target) == "/" {
		return nil, bad("invalid specification: destination can't be '/'")
	}
	if !path.IsAbs(spec.Target) {
		return nil, bad("invalid mount path: '%s' mount path must be absolute", spec.Target)
	}
	p := &point{MountPoint: container.MountPoint{Type: spec.Type, Destination: path.Clean(spec.Target), RW: !spec.ReadOnly}}
	if field := extraField(spec); field != "" {
		return nil, bad("field %s must not be specified", field)
	}
	switch spec.Type {
	case mount.TypeBind:
		return p, parseBindMount(p, spec, bad)
	case mount.TypeVolume:
		return p, parseVolumeMount(p, spec, bad)
	case mount.TypeTmpfs:
		return p, parseTmpfsMount(p, spec, bad)
	case mount.TypeImage:
		return p, parseImageMount(p, spec, bad)
	}
	return nil, bad("mount type unknown")
}

// extraField names the first group of options that is not of the mount's type.
func extraField(spec mount.Mount) string {
	for _, o := range []struct {
		name  string
		given bool
		of    mount.Type
	}{
		{"BindOptions", spec.BindOptions != nil, mount.TypeBind},
		{"VolumeOptions", spec.VolumeOptions != nil, mount.TypeVolume},
		{"ImageOptions", spec.ImageOptions != nil, mount.TypeImage},
		{"TmpfsOptions", spec.TmpfsOptions != nil, mount.TypeTmpfs},
	} {
		if o.given && o.of != spec.Type {
			return o.name
		}
	}
	return ""
}

func parseBindMount(p *point, spec mount.Mount, bad func(string, ...any) error) error {
	if spec.Source == "" {
		return bad("field Source must not be empty")
	}
	if !path.IsAbs(spec.Source) {
		return bad("invalid mount path: '%s' mount path must be absolute", spec.Source)
	}
	p.Source, p.Propagation = path.Clean(spec.Source), mount.PropagationRPrivate
	o := spec.BindOptions
	if o == nil {
		return nil
	}
	if o.Propagation != "" {
		if !slices.Contains(mount.Propagations, o.Propagation) {
			return bad("invalid propagation mode: %s", o.Propagation)
		}
		p.Propagation = o.Propagation
	}
	p.flat = o.NonRecursive
	if (o.ReadOnlyNonRecursive || o.ReadOnlyForceRecursive) && !spec.ReadOnly {
		return bad("mount must be read-only for a read-only option")
	}
	if o.ReadOnlyNonRecursive && o.ReadOnlyForceRecursive {
		return bad("ReadOnlyNonRecursive and ReadOnlyForceRecursive exclude each other")
	}
	p.createSource, p.flatReadOnly, p.forceReadOnly = o.CreateMountpoint, o.ReadOnlyNonRecursive, o.ReadOnlyForceRecursive
	return nil
}

func parseVolumeMount(p *point, spec mount.Mount, bad func(string, ...any) error) error {
	if spec.Source != "" {
		if err := checkName(spec.Source); err != nil {
			return err
		}
	}
	p.Name, p.Driver = spec.Source, driver
	o := spec.VolumeOptions
	if o == nil {
		return nil
	}
	if o.Subpath != "" && !filepath.IsLocal(o.Subpath) {
		return bad("subpath must be a relative path within the volume")
	}
	p.subpath, p.labels = o.Subpath, o.Labels
	p.noCopy = o.NoCopy || p.subpath != "" // what the image has there is not the whole volume's
	if d := o.DriverConfig; d != nil {
		if d.Name != "" && d.Name != driver {
			return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("error looking up volume plugin %s: plugin %q not found", d.Name, d.Name))
		}
		p.driverOptions = d.Options
	}
	return nil
}

// parseImageMount reads a mount of an image's files, always read-only.
func parseImageMount(p *point, spec mount.Mount, bad func(string, ...any) error) error {
	if spec.Source == "" {
		return bad("field Source must not be empty")
	}
	p.Name, p.RW = spec.Source, false
	if o := spec.ImageOptions; o != nil && o.Subpath != "" {
		if !filepath.IsLocal(o.Subpath) {
			return bad("subpath must be a relative path within the image")
		}
		p.subpath = o.Subpath
	}
	return nil
}

func parseTmpfsMount(p *point, spec mount.Mount, bad func(string, ...any) error) error {
	if spec.Source != "" {
		return bad("field Source must not be specified")
	}
	o := spec.TmpfsOptions
	if o == nil {
		return nil
	}
	if o.SizeBytes < 0 {
		return bad("invalid tmpfs size: %d", o.SizeBytes)
	}
	if o.SizeBytes > 0 {
		p.options = append(p.options, "size="+strconv.FormatInt(o.SizeBytes, 10))
	}
	if o.Mode != 0 {
		p.options = append(p.options, fmt.Sprintf("mode=%o", o.Mode))
	}
	for _, kv := range o.Options {
		p.options = append(p.options, strings.Join(kv, "="))
	}
	return checkTmpfsOptions(p)
}

// tmpfsWords are the options of a tmpfs without and with a value.
var (
	tmpfsWords = strings.Fields("ro rw exec noexec suid nosuid dev nodev sync async dirsync mand nomand atime noatime " +
		"diratime nodiratime relatime norelatime strictatime nostrictatime")
	tmpfsValues = strings.Fields("size mode uid gid nr_inodes nr_blocks mpol")
)

// parseTmpfs reads one --tmpfs: its path and comma-separated options.
func parseTmpfs(target, options string) (*point, error) {
	p, err := parseMount(mount.Mount{Type: mount.TypeTmpfs, Target: target})
	if err != nil {
		return nil, err
	}
	p.hidden = true
	if options != "" {
		p.options = strings.Split(options, ",")
	}
	return p, checkTmpfsOptions(p)
}

// checkTmpfsOptions refuses unknown options, and turns ro into the mount's own flag.
func checkTmpfsOptions(p *point) error {
	kept := p.options[:0:0]
	for _, o := range p.options {
		key, _, valued := strings.Cut(o, "=")
		switch {
		case o == "ro" || o == "rw":
			p.RW = o == "rw"
			continue
		case !valued && slices.Contains(tmpfsWords, o), valued && slices.Contains(tmpfsValues, key):
			kept = append(kept, o)
		default:
			return invalid("invalid tmpfs option [%q]", o)
		}
	}
	p.options = kept
	return nil
}
