package boot

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// The folders of the initramfs in which the real root is put together.
const (
	lowerDir = "/lower" // the EROFS of the image
	upperDir = "/upper" // tmpfs: what is written to "/" lives as long as the VM
	newRoot  = "/root"
)

// mountRoot makes the real root: the image's EROFS, read-only, below a tmpfs, so that mountpoints for shares can be
// made anywhere. It cannot stay in the initramfs: crun's pivot_root does not work there.
func mountRoot() error {
	dev, err := findDisk(api.DiskRoot)
	if err != nil {
		return err
	}
	err = mountAll([]mount{
		{dev, lowerDir, "erofs", unix.MS_RDONLY, nil},
		{"tmpfs", upperDir, "tmpfs", 0, []string{"mode=0755"}},
	})
	if err != nil {
		return err
	}
	for _, dir := range []string{upperDir + "/upper", upperDir + "/work"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	data := "lowerdir=" + lowerDir + ",upperdir=" + upperDir + "/upper,workdir=" + upperDir + "/work"
	return mount{"root", newRoot, "overlay", 0, []string{data}}.mount()
}

// switchRoot makes newRoot the root of the mount namespace and becomes /sbin/init there. The initramfs' own files are
// removed first: they would hold their memory for as long as the VM runs.
func switchRoot() error {
	for _, m := range earlyMounts {
		if err := unix.Mount(m.target, newRoot+m.target, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", m.target, err)
		}
	}
	// The overlay holds its layers by itself; here they would only be visible twice.
	for _, dir := range []string{lowerDir, upperDir} {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("detach %s: %w", dir, err)
		}
	}
	for _, name := range []string{"/init", "/lib"} {
		if err := os.RemoveAll(filepath.Clean(name)); err != nil {
			return err
		}
	}
	if err := unix.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	// Private, as the keeper of a direct engine has it: nothing a container mounts comes back here.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	const init = "/sbin/init"
	if err := unix.Exec(init, []string{init}, environment); err != nil {
		return fmt.Errorf("execute %s: %w", init, err)
	}
	return nil
}

// environment is that of the keeper and, through it, of the engine.
var environment = []string{
	"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
	"TERM=linux",
	"SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
}
