//go:build !linux

package localfiles

import (
	"archive/tar"
	"fmt"
	"os"
)

// node refuses a device or pipe.
func (u *unpacker) node(hdr *tar.Header, name string) error {
	return fmt.Errorf("%s is a device or a pipe, which naru makes on Linux only", name)
}

func addCapability(*tar.Header, string) {}

func setAttributes(*os.File, *tar.Header) {}
