package localfiles

import (
	"archive/tar"
	"io/fs"
)

// fillHeader gives files the mode that Docker gives them here, where there is none: everything can be run, nobody else may
// write.
func fillHeader(hdr *tar.Header, _ string, _ fs.FileInfo) (fileID, bool) {
	hdr.Mode = hdr.Mode&0o755 | 0o111
	return fileID{}, false
}
