//go:build !windows

package localfiles

import (
	"archive/tar"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// fillHeader adds what this system knows of a file, and tells whether it has several names.
func fillHeader(hdr *tar.Header, p string, info fs.FileInfo) (fileID, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, false
	}
	hdr.Uid, hdr.Gid = int(st.Uid), int(st.Gid)
	if hdr.Typeflag == tar.TypeChar || hdr.Typeflag == tar.TypeBlock {
		hdr.Devmajor, hdr.Devminor = int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev)))
	}
	if hdr.Typeflag == tar.TypeReg {
		addCapability(hdr, p)
	}
	return fileID{uint64(st.Dev), st.Ino}, st.Nlink > 1
}
