package localfiles

import (
	"archive/tar"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// node makes a device or pipe.
func (u *unpacker) node(hdr *tar.Header, base string) error {
	dir, err := u.at.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	kind := map[byte]uint32{tar.TypeFifo: unix.S_IFIFO, tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK}[hdr.Typeflag]
	dev := unix.Mkdev(uint32(hdr.Devmajor), uint32(hdr.Devminor))
	if err := unix.Mknodat(int(dir.Fd()), base, kind|uint32(hdr.Mode)&0o7777, int(dev)); err != nil {
		return &os.PathError{Op: "mknod", Path: base, Err: err}
	}
	return u.at.Chmod(base, hdr.FileInfo().Mode())
}

const (
	paxAttribute = "SCHILY.xattr."
	capability   = "security.capability"
)

// addCapability keeps what a program may do beside what its user may.
func addCapability(hdr *tar.Header, p string) {
	var value [64]byte
	if n, err := unix.Lgetxattr(p, capability, value[:]); err == nil {
		hdr.PAXRecords = map[string]string{paxAttribute + capability: string(value[:n])}
	}
}

// setAttributes sets the attributes that the archive has, where the file system has them and the user may.
func setAttributes(f *os.File, hdr *tar.Header) {
	for key, value := range hdr.PAXRecords {
		name, ok := strings.CutPrefix(key, paxAttribute)
		if !ok || name != capability && !strings.HasPrefix(name, "user.") {
			continue
		}
		_ = unix.Fsetxattr(int(f.Fd()), name, []byte(value), 0)
	}
}
