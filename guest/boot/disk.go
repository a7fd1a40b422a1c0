package boot

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// diskTimeout is how long a disk may take to appear. Drivers probe while they are loaded, so it is normally there.
const diskTimeout = 5 * time.Second

// findDisk returns the device node of the virtio disk with a serial number: names such as vda depend on the order in
// which the hypervisor lists its disks.
func findDisk(serial string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), diskTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		files, _ := filepath.Glob("/sys/block/*/serial") // the pattern is well-formed
		var seen []string
		for _, file := range files {
			name := filepath.Base(filepath.Dir(file))
			have, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			if strings.TrimSpace(string(have)) == serial {
				return "/dev/" + name, nil
			}
			seen = append(seen, fmt.Sprintf("%s=%q", name, strings.TrimSpace(string(have))))
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no disk with serial number %q (there are: %s)", serial, strings.Join(seen, " "))
		case <-tick.C:
		}
	}
}

// mountData mounts the data disk on Root, formatting it when it is blank.
func mountData(s *System) error {
	dev, err := findDisk(api.DiskData)
	if err != nil {
		return err
	}
	state, err := inspectDisk(dev)
	if err != nil {
		return err
	}
	switch state {
	case diskForeign:
		return fmt.Errorf("%s holds something that is not ext4; `naru machine reset` makes a new one", dev)
	case diskBlank:
		if err := format(dev); err != nil {
			return err
		}
	case diskUnclean:
		if err := check(dev); err != nil {
			return err
		}
	}
	// No discard option: it would make every delete wait for the host. Space goes back by FITRIM when idle.
	if err := (mount{dev, s.Root, "ext4", unix.MS_NOATIME, nil}).mount(); err != nil {
		return err
	}
	return grow(dev, s.Root)
}

// resizeFS is EXT4_IOC_RESIZE_FS of linux/fs/ext4/ext4.h: _IOW('f', 16, __u64), the new number of blocks.
const resizeFS = 0x40086610

// grow lets the file system on dev, mounted on dir, take all of a disk that has become larger. The kernel moves nothing,
// it only adds groups, each in a transaction: a crash in the middle leaves a file system that is whole, and the next boot goes on.
func grow(dev, dir string) error {
	size, err := deviceSize(dev)
	if err != nil {
		return err
	}
	have, block, err := fileSystemSize(dev)
	if err != nil {
		return err
	}
	const group = 128 << 20 // a last group that is too small is left out by mke2fs, so this much may be over
	if size < have+group {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	blocks := size / block
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, d.Fd(), resizeFS, uintptr(unsafe.Pointer(&blocks))); errno != 0 {
		return fmt.Errorf("grow the data disk from %d to %d bytes: %w", have, size, errno)
	}
	return nil
}

// deviceSize is a disk's size in bytes.
func deviceSize(dev string) (uint64, error) {
	f, err := os.Open(dev)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", dev, err)
	}
	return uint64(size), nil
}

// fileSystemSize is the size of the ext4 on dev and of its blocks, in bytes, by its superblock: s_blocks_count_lo at 4,
// s_log_block_size at 24, s_blocks_count_hi at 336.
func fileSystemSize(dev string) (size, block uint64, err error) {
	f, err := os.Open(dev)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	super := make([]byte, 1024)
	if _, err := f.ReadAt(super, 1024); err != nil {
		return 0, 0, fmt.Errorf("read %s: %w", dev, err)
	}
	blocks := uint64(binary.LittleEndian.Uint32(super[4:])) | uint64(binary.LittleEndian.Uint32(super[336:]))<<32
	block = 1 << (10 + binary.LittleEndian.Uint32(super[24:])&15)
	return blocks * block, block, nil
}

// States of a data disk.
type diskState int

const (
	diskBlank   diskState = iota // zeroes where any file system would have its mark
	diskForeign                  // something else is on it
	diskClean                    // ext4; its journal, if any is left to replay, is replayed by the mount
	diskUnclean                  // ext4 with errors on record
)

// inspectDisk reads the first 64 KiB, where every file system, partition table and volume manager puts its mark.
func inspectDisk(dev string) (diskState, error) {
	f, err := os.Open(dev)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	head := make([]byte, 64<<10)
	if _, err := io.ReadFull(f, head); err != nil {
		return 0, fmt.Errorf("read %s: %w", dev, err)
	}
	return classify(head), nil
}

// classify looks for an ext4 superblock, 1024 bytes in: s_magic at 56, s_state at 58.
func classify(head []byte) diskState {
	const super, errorFS = 1024, 2
	switch {
	case binary.LittleEndian.Uint16(head[super+56:]) == 0xEF53:
		if binary.LittleEndian.Uint16(head[super+58:])&errorFS != 0 {
			return diskUnclean
		}
		return diskClean
	case len(bytes.Trim(head, "\x00")) == 0:
		return diskBlank
	}
	return diskForeign
}

// format makes an ext4 that is usable at once. A blank data disk is a new sparse file, so it reads as zeroes and the
// inode tables need not be written: assume_storage_prezeroed also spares the kernel's background thread, which would
// fill the host's file with zeroes. No blocks are kept for root: everything here is root's.
func format(dev string) error {
	return run("mke2fs", "-q", "-F", "-t", "ext4", "-L", "naru-data", "-m", "0", "-I", "256",
		"-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1,assume_storage_prezeroed=1", dev)
}

// check repairs what can be repaired without a question.
func check(dev string) error {
	err := run("e2fsck", "-p", dev)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() < 4 { // 1 and 2: errors were corrected (e2fsck(8))
		return nil
	}
	return err
}

func run(name string, args ...string) error {
	cmd := exec.Command("/usr/sbin/"+name, args...)
	cmd.Env = environment
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}
