package runtime

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

const passwd = `root:x:0:0:root:/root:/bin/sh
www:x:33:33::/var/www:/bin/false
12:x:1012:1012::/home/twelve:/bin/sh
`

const group = `root:x:0:
www:x:33:
tape:x:26:www,root
`

func rootfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"etc/passwd": passwd, "etc/group": group} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLookupUser(t *testing.T) {
	dir := rootfs(t)
	for _, tc := range []struct {
		wish     string
		groups   []string
		uid, gid uint32
		extra    []uint32
		home     string
		err      string
	}{
		{wish: "", home: "/root", extra: []uint32{0, 26}},
		{wish: "www", uid: 33, gid: 33, extra: []uint32{33, 26}, home: "/var/www"},
		{wish: "33", uid: 33, gid: 33, extra: []uint32{33, 26}, home: "/var/www"},
		{wish: "12", uid: 12, home: "/", extra: []uint32{0}}, // a number is never a name
		{wish: "www:tape", uid: 33, gid: 26, home: "/var/www", extra: []uint32{26}},
		{wish: ":tape", gid: 26, home: "/root", extra: []uint32{26}},
		{wish: "007", uid: 7, home: "/", extra: []uint32{0}},
		{wish: "1000:1000", uid: 1000, gid: 1000, home: "/", groups: []string{"tape", "7"}, extra: []uint32{1000, 26, 7}},
		{wish: "4294967294", uid: 4294967294, home: "/", extra: []uint32{0}},
		{wish: "4294967295", err: "must be in range"},
		{wish: "4294967296", err: "must be in range"},
		{wish: "-1", err: "must be in range"},
		{wish: "18446744073709551616", err: "must be in range"},
		{wish: "0:4294967295", err: "must be in range"},
		{wish: "0:99999999999999999999", err: "must be in range"},
		{wish: "+1", err: "unable to find user +1: no matching entries in passwd file"},
		{wish: "0x1", err: "unable to find user 0x1: no matching entries in passwd file"},
		{wish: " 1", err: "unable to find user  1"},
		{wish: "root:www:x", err: "unable to find group www:x"},
		{wish: "nobody", err: "unable to find user nobody"},
		{wish: "root:wheel", err: "unable to find group wheel"},
	} {
		t.Run(tc.wish, func(t *testing.T) {
			user, home, err := lookupUser(dir, tc.wish, tc.groups)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || !errdefs.IsInvalidArgument(err) {
					t.Fatalf("error %v, want an invalid argument with %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if user.UID != tc.uid || user.GID != tc.gid || home != tc.home || !slices.Equal(user.AdditionalGids, tc.extra) {
				t.Errorf("got %+v home %q", user, home)
			}
		})
	}
}

// An image's passwd may be a link to the host's, or a device: neither is followed or read.
func TestUserFilesOfHostileImage(t *testing.T) {
	dir := rootfs(t)
	path := filepath.Join(dir, "etc/passwd")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/../../../../../../etc/passwd", path); err != nil {
		t.Fatal(err)
	}
	// In the image's root the link points to itself: nothing is found, and the host's file is not read.
	if _, _, err := lookupUser(dir, "root", nil); err == nil {
		t.Error("root was found through a link out of the image")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := lookupUser(dir, "root", nil); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder as passwd: %v", err)
	}
}

func TestCapabilities(t *testing.T) {
	for _, tc := range []struct {
		add, drop []string
		has, not  string
	}{
		{has: "CAP_CHOWN", not: "CAP_NET_ADMIN"},
		{add: []string{"net_admin"}, has: "CAP_NET_ADMIN", not: "CAP_SYS_ADMIN"},
		{drop: []string{"CAP_CHOWN"}, has: "CAP_KILL", not: "CAP_CHOWN"},
		{drop: []string{"ALL"}, add: []string{"Kill"}, has: "CAP_KILL", not: "CAP_CHOWN"},
		{add: []string{"all"}, drop: []string{"sys_admin"}, has: "CAP_NET_ADMIN", not: "CAP_SYS_ADMIN"},
	} {
		caps, err := capabilities(false, tc.add, tc.drop)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(caps, tc.has) || slices.Contains(caps, tc.not) {
			t.Errorf("add %v drop %v: got %v", tc.add, tc.drop, caps)
		}
	}
	if _, err := capabilities(false, []string{"nonsense"}, nil); !errdefs.IsInvalidArgument(err) {
		t.Errorf("unknown capability: %v", err)
	}
}

func TestMergeEnv(t *testing.T) {
	got := mergeEnv([]string{"A=1", "B=2", "C=3"}, []string{"B=x", "C", "D=4=5"})
	if want := []string{"A=1", "B=x", "D=4=5"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSpec(t *testing.T) {
	c := Container{
		ID: "abc", Hostname: "box", Rootfs: rootfs(t), NetNS: "/run/netns/x", CgroupPath: "/naru0/abc",
		Config:     &container.Config{Cmd: []string{"sh"}, Env: []string{"PATH=/bin"}, Tty: true, User: "www"},
		HostConfig: &container.HostConfig{},
		Mounts:     []Mount{{Type: "bind", Source: "/data", Target: "/dev/shm"}, {Type: "tmpfs", Target: "/tmp", Options: []string{"size=1m"}}},
	}
	s, err := Spec(c)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"PATH=/bin", "HOSTNAME=box", "TERM=xterm", "HOME=/var/www"}; !slices.Equal(s.Process.Env, want) {
		t.Errorf("environment %q, want %q", s.Process.Env, want)
	}
	if s.Linux.Seccomp == nil || len(s.Linux.MaskedPaths) == 0 || len(s.Process.Capabilities.Effective) != 0 {
		t.Error("a user's process without the default confinement")
	}
	shm := 0
	for _, m := range s.Mounts {
		if m.Destination == "/dev/shm" {
			shm++
		}
	}
	if shm != 1 {
		t.Errorf("%d mounts on /dev/shm", shm)
	}
}

// Whatever stands in passwd and group, and whatever is asked for: no panic, no id out of range, and a number is itself.
func FuzzLookupUser(f *testing.F) {
	f.Add("www:tape", "33", passwd, group)
	f.Add("4294967295", "-1", "a:b:-1:4294967296::/:\n:::::::\n", "g:x:4294967295:a,,b\n")
	f.Fuzz(func(t *testing.T, wish, add, passwd, group string) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"passwd": passwd, "group": group} {
			if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		user, home, err := lookupUser(dir, wish, []string{add})
		if err != nil {
			return
		}
		for _, id := range append(user.AdditionalGids, user.UID, user.GID) {
			if id == math.MaxUint32 {
				t.Errorf("%q with %q: id -1", wish, add)
			}
		}
		name, _, _ := strings.Cut(wish, ":")
		if n, err := strconv.ParseUint(name, 10, 32); err == nil && uint32(n) != user.UID {
			t.Errorf("%q is %d", wish, user.UID)
		}
		if home == "" {
			t.Errorf("%q has no home", wish)
		}
	})
}
