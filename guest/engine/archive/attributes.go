package archive

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// paxAttribute begins the names of PAX records that hold extended attributes.
const paxAttribute = "SCHILY.xattr."

const capability = "security.capability"

// maxAttributes bounds the names of one file's attributes; the kernel allows 64 KiB.
const maxAttributes = 64 << 10

// carried reports whether an attribute belongs to the file rather than to this host: user.* and the file's capabilities. The
// others (trusted.overlay.*, security.selinux, …) neither leave a container nor come into one.
func carried(name string) bool {
	return name == capability || strings.HasPrefix(name, "user.") && !strings.Contains(name, "=") // which a PAX record cannot name
}

// allowed reports whether an attribute of an archive may be set.
func allowed(name string) bool {
	return carried(name) || name == "system.posix_acl_access" || name == "system.posix_acl_default"
}

// attributes reads what is carried of a file's extended attributes; nil when there are none. buf is scratch.
func attributes(fd int, buf []byte) (map[string]string, error) {
	return readAttributes(buf,
		func(b []byte) (int, error) { return unix.Flistxattr(fd, b) },
		func(name string, b []byte) (int, error) { return unix.Fgetxattr(fd, name, b) })
}

// attributesOf is attributes of something that cannot be opened but by O_PATH.
func attributesOf(fd int, buf []byte) (map[string]string, error) {
	path := pathOf(fd)
	return readAttributes(buf,
		func(b []byte) (int, error) { return unix.Listxattr(path, b) },
		func(name string, b []byte) (int, error) { return unix.Getxattr(path, name, b) })
}

func readAttributes(buf []byte, list func([]byte) (int, error), get func(string, []byte) (int, error)) (map[string]string, error) {
	n, err := list(buf[:maxAttributes])
	if errors.Is(err, unix.ENOTSUP) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out map[string]string
	for _, name := range strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if !carried(name) {
			continue
		}
		n, err := get(name, buf[:maxAttributes])
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = map[string]string{}
		}
		value := string(buf[:n])
		if name == capability {
			value = plainCapability(value)
		}
		out[name] = value
	}
	return out, nil
}

// The two forms of a file's capabilities, linux/capability.h. The third revision ends with the host's ID of a user
// namespace's root, which means nothing elsewhere.
const (
	capabilityRevisions = 0xff000000
	capabilityRevision2 = 0x02000000
	capabilityRevision3 = 0x03000000
	capabilitySize2     = 20
	capabilitySize3     = 24
)

func plainCapability(value string) string {
	if len(value) != capabilitySize3 {
		return value
	}
	b := []byte(value[:capabilitySize2])
	magic := binary.LittleEndian.Uint32(b)
	if magic&capabilityRevisions != capabilityRevision3 {
		return value
	}
	binary.LittleEndian.PutUint32(b, magic&^capabilityRevisions|capabilityRevision2)
	return string(b)
}

// setAttributes sets what an archive's PAX records hold of them, on a path that leads to one file and no further.
func setAttributes(path string, records map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(records)) {
		name, ok := strings.CutPrefix(key, paxAttribute)
		if !ok || !allowed(name) {
			continue
		}
		err := unix.Setxattr(path, name, []byte(records[key]), 0)
		// A file system without them, and a link or device, which can have no user.* ones: the file is worth more.
		if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EPERM) {
			return pathError("set attribute "+name, path, err)
		}
	}
	return nil
}
