// Package modules loads the kernel modules that the VM's image brings, a folder at a time: those of the boot, and those of file
// systems that few need.
package modules

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir has the folders of the image: "late" of the boot, and one named as each file system that comes later.
const Dir = "/usr/lib/modules"

// Load loads the modules of a folder in the order of its file "order": one file name a line, each after those
// it depends on. The image's build resolves that, so that the guest needs neither depmod nor modprobe. A file may be
// followed by module parameters. What a kernel has built in is not in the folder.
func Load(dir string) error {
	order, err := os.ReadFile(filepath.Join(dir, "order"))
	if err != nil {
		return err
	}
	for _, line := range strings.Split(strings.TrimSpace(string(order)), "\n") {
		name, params, _ := strings.Cut(line, " ")
		if name == "" {
			continue
		}
		if err := load(filepath.Join(dir, name), params); err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	return nil
}

func load(path, params string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), params, 0)
	// ENODEV: the module's device is not there (a balloon, say). Its absence shows where it is needed.
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
