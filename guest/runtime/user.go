package runtime

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxUserFile bounds what is read of an image's /etc/passwd and /etc/group, in bytes: they are untrusted.
const maxUserFile = 1 << 20

// lookupUser resolves "user", "uid", "user:group", "uid:gid" and the additional groups against the root file system.
// A number is never looked up as a name. home is "/" where passwd does not say.
func lookupUser(rootfs, wish string, groups []string) (user specs.User, home string, err error) {
	name, group, hasGroup := strings.Cut(wish, ":")
	if name == "" {
		name = "0"
	}
	passwd, err := readEntries(rootfs, "etc/passwd", 7)
	if err != nil {
		return user, "", err
	}
	home = "/"
	uid, numeric, err := parseID(name)
	if err != nil {
		return user, "", err
	}
	found := false
	for _, e := range passwd {
		entryUID, uidErr := strconv.ParseUint(e[2], 10, 32)
		if uidErr != nil || (numeric && uint32(entryUID) != uid) || (!numeric && e[0] != name) {
			continue
		}
		gid, gidErr := strconv.ParseUint(e[3], 10, 32)
		if gidErr != nil {
			continue
		}
		found, name = true, e[0]
		user.UID, user.GID = uint32(entryUID), uint32(gid)
		if e[5] != "" {
			home = e[5]
		}
		break
	}
	if !found {
		if !numeric {
			return user, "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unable to find user %s: no matching entries in passwd file", name))
		}
		user.UID = uid
	}
	all, err := readEntries(rootfs, "etc/group", 4)
	if err != nil {
		return user, "", err
	}
	if hasGroup && group != "" {
		if user.GID, err = lookupGroup(all, group); err != nil {
			return user, "", err
		}
		found = false // Docker's rule: who names a group is in no other
	}
	// The own group is among the additional ones too: a negative entry in an ACL must find it (CVE-2022-36109).
	user.AdditionalGids = []uint32{user.GID}
	if found {
		user.AdditionalGids = append(user.AdditionalGids, memberOf(all, name)...)
	}
	for _, g := range groups {
		gid, err := lookupGroup(all, g)
		if err != nil {
			return user, "", err
		}
		user.AdditionalGids = append(user.AdditionalGids, gid)
	}
	return user, home, nil
}

// checkUser refuses at creation ids that no image could make right.
func checkUser(wish string, groups []string) error {
	name, group, _ := strings.Cut(wish, ":")
	for _, id := range append([]string{name, group}, groups...) {
		if _, _, err := parseID(id); err != nil {
			return err
		}
	}
	return nil
}

// parseID tells whether s is a number, and refuses one that is no id: 0 to 2³²−2.
func parseID(s string) (id uint32, numeric bool, err error) {
	if s == "" || strings.Trim(s, "0123456789") != "" && !(s[0] == '-' && strings.Trim(s[1:], "0123456789") == "") {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > math.MaxUint32-1 {
		return 0, true, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid user or group id %q: uids and gids must be in range 0-4294967294", s))
	}
	return uint32(n), true, nil
}

func lookupGroup(entries [][]string, group string) (uint32, error) {
	gid, numeric, err := parseID(group)
	if err != nil || numeric {
		return gid, err
	}
	for _, e := range entries {
		if e[0] == group {
			if n, err := strconv.ParseUint(e[2], 10, 32); err == nil {
				return uint32(n), nil
			}
		}
	}
	return 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unable to find group %s: no matching entries in group file", group))
}

func memberOf(entries [][]string, name string) []uint32 {
	var gids []uint32
	for _, e := range entries {
		for _, member := range strings.Split(e[3], ",") {
			if member != name {
				continue
			}
			if n, err := strconv.ParseUint(e[2], 10, 32); err == nil {
				gids = append(gids, uint32(n))
			}
		}
	}
	return gids
}

// openInRoot opens a file as a process with that root would find it. The kernel answers EAGAIN when any rename or mount
// on the machine keeps it from telling whether a `..` stays inside: then again, but not for ever.
func openInRoot(dir int, name string) (fd int, err error) {
	for range 1000 {
		fd, err = unix.Openat2(dir, name, &unix.OpenHow{
			Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		})
		if err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return fd, err
}

// readEntries reads a colon-separated file inside rootfs: only a regular file, reached without leaving rootfs. A
// missing one has no entries. Lines with too few fields are skipped.
func readEntries(rootfs, name string, fields int) ([][]string, error) {
	dir, err := unix.Open(rootfs, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open root file system: %w", err)
	}
	defer unix.Close(dir)
	fd, err := openInRoot(dir, name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open /%s of the image: %w", name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("/%s of the image is not a regular file", name))
	}
	var entries [][]string
	lines := bufio.NewScanner(io.LimitReader(file, maxUserFile))
	lines.Buffer(nil, maxUserFile)
	for lines.Scan() {
		if e := strings.Split(lines.Text(), ":"); len(e) >= fields {
			entries = append(entries, e)
		}
	}
	return entries, nil
}
