// Package vmimage holds what is in naru's VM and how it is made: inputs and modules are tables that scripts/image
// reads, root/ is copied into the root file system as it is, kmod is a kernel module of
// ours, floor is the smallest init there can be. Its tests check
// a built image.
//
//	vmlinuz        Debian's cloud kernel
//	initrd.img     naru-keeper as /init and the modules that reach the root disk
//	root.erofs     the read-only root: keeper, engine, crun, the init program, mke2fs, CA certificates, busybox for the shell
//	manifest.json  every input with version and sha256, every file with its size
package vmimage

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Manifest is manifest.json.
type Manifest struct {
	Arch     string    `json:"arch"`     // as in GOARCH
	Key      string    `json:"key"`      // changes with any input
	Kernel   string    `json:"kernel"`   // its release, as uname -r says
	Files    []File    `json:"files"`    // the image's own files
	Programs []Program `json:"programs"` // naru's programs in it
	Inputs   []Input   `json:"inputs"`   // what else it was made from
}

// File is one file of the image.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Program is one of naru's own programs, at /usr/bin.
type Program struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// Input is a Debian package, or the source of crun.
type Input struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Suite   string `json:"suite"`
	SHA256  string `json:"sha256"` // of the package file
}

// ReadManifest reads the manifest of the image in dir.
func ReadManifest(dir string) (*Manifest, error) {
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("parse %s: %w", filepath.Join(dir, "manifest.json"), err)
	}
	return m, nil
}
