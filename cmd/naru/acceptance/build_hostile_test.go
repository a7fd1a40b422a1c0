package acceptance

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"naru/platform/paths"
)

// entry is a member of an archive that no well-meaning program makes.
type entry struct {
	name, link, text string
	kind             byte
}

// evilTar writes an archive of the entries.
func evilTar(t *testing.T, path string, entries ...entry) {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		if e.kind == 0 {
			e.kind = tar.TypeReg
		}
		h := &tar.Header{Name: e.name, Linkname: e.link, Mode: 0o755, Typeflag: e.kind, Size: int64(len(e.text))}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// hostileBase has links to the canary, a folder of the host, by each way: $CANARY/precious is there as well, with another text.
const hostileBase = `FROM $IMG
RUN mkdir -p $CANARY && echo image >$CANARY/precious && ln -s $CANARY /out && ln -s ../../../../../../../../..$CANARY /up && ln -s $CANARY/precious /file
`

// hostileBuild is a build that tries to get at what is not its own. It is built from base, and what is run from its image, or
// the error, must be as told.
type hostileBuild struct {
	name, dockerfile, flags, run, want, fails string
}

var hostileBuilds = []hostileBuild{
	{name: "copy of a link that leads out of the context", dockerfile: "COPY passwd /copied", fails: `"/passwd": not found`},
	{name: "copy of a folder with links", dockerfile: "COPY links /links", run: `readlink /links/up /links/abs; cat /links/abs/precious`, want: "../../../../../../..$CANARY\n$CANARY\nimage"},
	{name: "copy through links of the image", dockerfile: "COPY f /out/f1\nCOPY f /up/f2\nCOPY f /file\nWORKDIR /out/made\nADD good.tar /up/", run: `cd $CANARY && cat f1 f2 precious in-tar && ls -d made`, want: "f\nf\nf\ntar\nmade"},
	{name: "archive with members outside", dockerfile: "ADD outside.tar /x/", fails: `invalid entry name "\.\./`},
	{name: "archive with links", dockerfile: "ADD links.tar /x/", fails: `path escapes from parent`},
	{name: "archive with a hard link", dockerfile: "ADD hard.tar /x/", fails: `invalid hardlink target`},
	{name: "mounts below links of the image", dockerfile: `RUN --mount=type=cache,target=/out/cache --mount=type=tmpfs,target=/up/tmp --mount=type=bind,source=f,target=/out/stub --mount=type=bind,source=links,target=/up/dir/in ls /out /up >/listed && touch /out/cache/x /up/tmp/x`, run: `cat /listed | grep -c -e stub -e precious; ls $CANARY`, want: "4\nprecious"},
	{name: "a mount on a link of the image", dockerfile: `RUN --mount=type=bind,source=f,target=/file cat /file >/seen`, run: `cat /seen $CANARY/precious`, want: "f\nimage"},
	{name: "a mount's source through a link", dockerfile: `RUN --mount=type=bind,from=base,source=/out,target=/m cat /m/precious >/seen`, run: `cat /seen`, want: "image"},
	{name: "a mount's source through a link upwards", dockerfile: `RUN --mount=type=bind,from=base,source=/up,target=/m --mount=type=cache,from=base,source=/up,target=/c cat /m/precious /c/precious >/seen`, run: `sort -u /seen`, want: "image"},
	{name: "a cache with a link for its root", dockerfile: "RUN --mount=type=cache,id=linked,target=/c rm -rf /c/d && ln -s $CANARY /c/d\nRUN --mount=type=cache,id=linked,source=d,target=/c2 ls /c2 >/seen", fails: `no such file or directory`},
	{name: "what a step sees of the host", dockerfile: `RUN sh -c '[ ! -e /var/run/docker.sock ] && [ ! -e /run/docker.sock ] && [ ! -e ` + "$HOMEDIR" + ` ] && ls /proc | grep -c "^[0-9]"; ls /sys/class/net; grep ^Seccomp: /proc/self/status; cat /proc/kcore | head -c 1 | wc -c; for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /sys/kernel/uevent_helper; do (echo x >$f) 2>/dev/null && echo written $f; done; mount -t tmpfs none /mnt 2>/dev/null && echo mounted; mknod /dev/sda b 8 0 2>/dev/null && (head -c 1 /dev/sda) 2>/dev/null && echo device; unshare -U true 2>/dev/null && echo unshared; true' >/seen`, run: `tail -n +2 /seen`, want: "eth0\nlo\nSeccomp:\\s2\n0"},
	{name: "no network", dockerfile: `RUN --network=none ls /sys/class/net >/seen`, run: `cat /seen`, want: "lo"},
	{name: "the host's network, not granted", dockerfile: `RUN --network=host true`, fails: `network.host is not allowed`},
	{name: "the host's network, granted", dockerfile: `RUN --network=host ls /sys/class/net >/seen`, flags: "--allow network.host", run: `grep -c -v -x -e lo -e eth0 /seen`, want: `[1-9][0-9]*`},
	{name: "insecure", dockerfile: `RUN --security=insecure true`, fails: `security.insecure is not allowed`},
	{name: "insecure, asked for", dockerfile: `RUN --security=insecure true`, flags: "--allow security.insecure", fails: `security.insecure is not (allowed|enabled)`},
	{name: "a process that is left behind", dockerfile: "RUN setsid sleep 98767 >/dev/null 2>&1 & (setsid sleep 98767 >/dev/null 2>&1 &); echo left >/seen", run: `cat /seen`, want: `left`},
	{name: "a limit of processes", dockerfile: `RUN cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max >/seen 2>/dev/null; true`, run: `grep -x -E '[0-9]{4,}|max' /seen | head -1`, want: `[0-9]+`},
}

// TestHostileBuilds: no build reaches what lies outside of its image, its context and its mounts.
func TestHostileBuilds(t *testing.T) {
	h := newHostile(t)
	for _, b := range hostileBuilds {
		t.Run(b.name, func(t *testing.T) {
			h.write(t, "hctx/Dockerfile", "FROM hostile-base AS base\nFROM base\n"+b.dockerfile+"\n")
			r := h.exec(result{script: "naru build -q " + b.flags + " -t hostile hctx"})
			switch {
			case r.code != 0 && b.fails == "":
				t.Error(r)
			case r.code != 0 && !regexp.MustCompile(h.fill(b.fails)).MatchString(r.stderr):
				t.Errorf("want the error %q, got %s", b.fails, r)
			case r.code == 0 && b.run == "":
				t.Errorf("want the error %q, got an image", b.fails)
			case r.code == 0:
				got := h.sh(t, "naru run --rm --network none hostile sh -c "+quote(h.fill(b.run)))
				if !regexp.MustCompile("^" + h.fill(b.want) + "$").MatchString(got) {
					t.Errorf("the image holds %q, want %q", got, h.fill(b.want))
				}
			}
			h.untouched(t)
		})
	}
	if left := h.sh(t, "ps -eo args | grep '^sleep 98767' || true"); left != "" {
		t.Errorf("processes are left: %s", left)
	}
}

// hostile is an installation with a folder beside it that nothing may touch.
type hostile struct {
	*world
	canary string
	was    string
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	requirePlugins(t)
	w := inContext(t, "direct")
	h := &hostile{world: w, canary: filepath.Join(filepath.Dir(w.home), "canary")}
	for name, text := range map[string]string{
		"../canary/precious": "host", "../canary/f1": "host", "../canary/stub": "host", "../canary/dir/in/x": "host",
		"hctx/f": "f\n", "hctx/base": strings.NewReplacer("$IMG", w.image(t, "bookworm"), "$CANARY", h.canary).Replace(hostileBase),
	} {
		h.write(t, name, text)
	}
	w.sh(t, h.fill(`cd hctx && ln -s ../../../../../../../etc/passwd passwd && mkdir links && ln -s ../../../../../../..$CANARY links/up && ln -s $CANARY links/abs`))
	ctx := func(name string) string { return filepath.Join(w.work, "hctx", name) }
	evilTar(t, ctx("good.tar"), entry{name: "in-tar", text: "tar\n"})
	evilTar(t, ctx("outside.tar"), entry{name: "../../../../.." + h.canary + "/precious", text: "escaped"}, entry{name: h.canary + "/f1", text: "escaped"}, entry{name: "../../escaped", text: "escaped"})
	evilTar(t, ctx("links.tar"), entry{name: "d", link: h.canary, kind: tar.TypeSymlink}, entry{name: "d/precious", text: "through\n"}, entry{name: "e", link: "../../../../../../../.." + h.canary, kind: tar.TypeSymlink}, entry{name: "e/f1", text: "through\n"})
	evilTar(t, ctx("hard.tar"), entry{name: "h", link: "../../../../../../../../.." + h.canary + "/f1", kind: tar.TypeLink}, entry{name: "h", text: "through"})
	w.sh(t, "naru build -q -f hctx/base -t hostile-base hctx")
	t.Cleanup(func() {
		w.exec(result{script: "naru rmi -f hostile hostile-base; rm -r hctx"})
		os.RemoveAll(h.canary)
	})
	h.was = h.look(t)
	return h
}

func (h *hostile) fill(s string) string {
	return strings.NewReplacer("$CANARY", h.canary, "$HOMEDIR", h.home).Replace(s)
}

// write makes a file below the work folder.
func (h *hostile) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(h.work, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(h.fill(text)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// look lists the canary, and all that lies beside the installation.
func (h *hostile) look(t *testing.T) string {
	t.Helper()
	return h.sh(t, h.fill(`find $CANARY -printf '%P %y %m %U %s %T@ %C@\n' | sort; find $CANARY -type f | sort | xargs cat; ls $CANARY/..; ls /escaped 2>/dev/null; true`))
}

func (h *hostile) untouched(t *testing.T) {
	t.Helper()
	if is := h.look(t); is != h.was {
		t.Errorf("the host's files were touched:\nbefore only\n%safter only\n%s", linesOnlyIn(h.was, is), linesOnlyIn(is, h.was))
	}
	name := paths.Home(h.home).Name()
	if left := h.sh(t, fmt.Sprintf("find /sys/fs/cgroup -path '*/%s/buildkit/*' -type d", name)); left != "" {
		t.Errorf("cgroups are left: %s", left)
	}
}
