package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// EnvImage names another folder with a VM image.
const EnvImage = "NARU_IMAGE"

// Image is a VM image: what is booted, immutable.
type Image struct {
	Arch                 string // as GOARCH
	Kernel, Initrd, Root string // paths
}

// FindImage looks for the image of the host's architecture: where NARU_IMAGE says, then beside the program as a
// checkout has it (bin/../out/image/<arch>), then as an installation has it (bin/../share/naru/image).
func FindImage() (*Image, error) {
	if dir := os.Getenv(EnvImage); dir != "" {
		return OpenImage(dir)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the VM image: %w", err)
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	prefix := filepath.Dir(filepath.Dir(self))
	dirs := []string{
		filepath.Join(prefix, "out", "image", runtime.GOARCH),
		filepath.Join(prefix, "share", "naru", "image", runtime.GOARCH),
		filepath.Join(prefix, "share", "naru", "image"),
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err == nil {
			return OpenImage(dir)
		}
	}
	return nil, fmt.Errorf("the VM image is missing: none of %s exists; `make image` makes one", strings.Join(dirs, ", "))
}

// OpenImage reads the manifest in dir and looks whether the files are there.
func OpenImage(dir string) (*Image, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	img := &Image{
		Arch: runtime.GOARCH, Kernel: filepath.Join(dir, "vmlinuz"),
		Initrd: filepath.Join(dir, "initrd.img"), Root: filepath.Join(dir, "root.erofs"),
	}
	var manifest struct {
		Arch string `json:"arch"`
	}
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err == nil {
		err = json.Unmarshal(data, &manifest)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the VM image's manifest: %w", err)
	}
	if manifest.Arch != "" {
		img.Arch = manifest.Arch
	}
	for _, path := range []string{img.Kernel, img.Initrd, img.Root} {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("the VM image is not whole: %s is missing; `make image` makes one", path)
		}
	}
	return img, nil
}
