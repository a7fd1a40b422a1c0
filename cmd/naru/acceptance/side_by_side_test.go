package acceptance

import (
	"context"
	"strings"
	"testing"
	"time"

	"naru/platform/paths"
)

// server answers each connection with the version of the python3 that runs it.
const server = `import socket, sys
s = socket.create_server(("", 8000))
while True:
    c, _ = s.accept()
    c.sendall(("%d.%d\n" % sys.version_info[:2]).encode())
    c.close()`

// TestSideBySide: two versions of one program, installed, reachable at once, and removed without a trace.
func TestSideBySide(t *testing.T) {
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			requireBuilt(t, name)
			reg := registry(t)
			w := newWorld(t, name)
			t.Cleanup(w.stop)
			host := hostCensus(t, w)
			w.sh(t, "naru run --rm hello >/dev/null && naru rmi hello >/dev/null") // what the first container makes stays
			before := census(t, w, map[string]string{"images": "0"})
			for suite, version := range map[string]string{"bookworm": "3.11", "trixie": "3.13"} {
				w.sh(t, "naru pull -q "+reg+"/"+suite)
				w.sh(t, "naru run -d --name "+suite+" -p 127.0.0.1::8000 -v data-"+suite+":/data "+reg+"/"+suite+` python3 -c "$CODE"`, "CODE="+server)
				got := w.sh(t, `P=$(naru inspect -f '{{(index (index .NetworkSettings.Ports "8000/tcp") 0).HostPort}}' `+suite+`)
naru exec `+suite+` bash -c 'until exec 3<>/dev/tcp/127.0.0.1/8000; do sleep 0.1; done 2>/dev/null'
exec 3<>/dev/tcp/127.0.0.1/$P; head -n 1 <&3`)
				if got != version {
					t.Errorf("%s: %q answers, want %s", suite, got, version)
				}
			}
			if got := w.sh(t, "naru ps -q | wc -l"); got != "2" {
				t.Errorf("%s containers are up, want both", got)
			}
			for _, suite := range []string{"bookworm", "trixie"} {
				w.sh(t, "naru rm -f "+suite+" && naru rmi "+reg+"/"+suite+" && naru volume rm data-"+suite)
			}
			census(t, w, before)
			w.stop()
			if after := hostCensus(t, w); after != host {
				t.Errorf("the engine left something on the host:\nbefore\n%s\nafter\n%s", host, after)
			}
		})
	}
}

// hostCensus lists what w's engine or VM makes outside its folder: all of it carries its name or its folder.
func hostCensus(t *testing.T, w *world) string {
	t.Helper()
	return w.sh(t, strings.NewReplacer("NAME", paths.Home(w.home).Name(), "HOME", w.home).Replace(`
ls /sys/class/net | grep NAME; nft list tables | grep NAME; grep -o '[^ ]*HOME[^ ]*' /proc/self/mountinfo; find /sys/fs/cgroup -name NAME
for p in /proc/[0-9]*; do tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -o '^[^ ]* .*HOME/[^ ]*'; done; true`))
}

// census counts what an installation holds: files, mounts, namespaces, links, nftables elements, cgroups and
// processes. With want it waits until they are equal: what is removed may go after the command has returned, and the
// pool of ready namespaces is filled again meanwhile.
func census(t *testing.T, w *world, want map[string]string) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		got := count(t, w)
		different := ""
		for what := range want {
			if got[what] != want[what] {
				different += what + ":\nbefore only\n" + linesOnlyIn(want[what], got[what]) + "after only\n" + linesOnlyIn(got[what], want[what])
			}
		}
		if different == "" {
			return got
		}
		select {
		case <-ctx.Done():
			t.Error("something was left behind: " + different)
			return got
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func linesOnlyIn(a, b string) (only string) {
	there := map[string]bool{}
	for line := range strings.Lines(b + "\n") {
		there[line] = true
	}
	for line := range strings.Lines(a + "\n") {
		if !there[line] {
			only += line
		}
	}
	return only
}

func count(t *testing.T, w *world) map[string]string {
	t.Helper()
	data, name := "/var/lib/naru", "naru0"
	if w.context == "direct" {
		data, name = w.home+"/engine", paths.Home(w.home).Name()
	}
	script := strings.NewReplacer("DATA", data, "NAME", name).Replace(`
cd DATA
echo @images; find content/blobs/sha256 snapshots/snapshots -mindepth 1 -maxdepth 1 2>/dev/null | wc -l
echo @files; find . -path ./run -prune -o -type f -print | grep -vE '\.(log|journal|db)(\.1)?$|/ingest/|^./exits' | sort
echo @run; find run -maxdepth 2 | grep -vE 'netns/|crun/\.' | sort
echo @mounts; awk '{print $5}' /proc/self/mountinfo | grep DATA | grep -v netns/ | sort
echo @links; ls /sys/class/net | grep NAME
echo @cgroups; find /sys/fs/cgroup -type d | grep NAME | sort
echo @processes; for p in /proc/[0-9]*; do tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -E '^python3|/crun|conmon' ; done | wc -l`)
	counts := map[string]string{}
	for _, part := range strings.Split("\n"+w.inside(t, script), "\n@")[1:] {
		what, list, _ := strings.Cut(part, "\n")
		counts[what] = list
	}
	return counts
}
