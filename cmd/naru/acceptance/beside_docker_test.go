package acceptance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// besideCommands print the same with naru as with the docker CLI that talks to naru's socket. $N is a running container with
// a port, a label, a volume and an environment, ${N}b one that has ended.
var besideCommands = []string{
	"ps -a", "ps -aq", "ps -a --no-trunc", "ps -a --size", "ps -l", "ps -n 1 -q", "container ls -a", "container list -q", "container ps -aq",
	"ps -a --format '{{.ID}} {{.Names}} {{.Label \"l\"}} {{.Ports}} {{.Mounts}} {{.Networks}} {{.LocalVolumes}} {{.State}} {{.Command}} {{.Image}}'",
	"ps -a --format 'table {{.Names}}\\t{{.Label \"l\"}}\\t{{.Status}}'", "ps -aq -f label=l=v", "ps -aq --no-trunc -f status=exited -f name=$N",
	"ps -a --format '{{json .Names}} {{upper .Image}} {{truncate .ID 3}} {{join (split .Names \"-\") \"+\"}} {{pad .Names 1 2}}|'",
	"images", "images -q", "images -a --no-trunc", "images --digests", "image ls", "image list -q --no-trunc", "images --format '{{.Repository}}:{{.Tag}} {{.ID}} {{.Digest}} {{.Size}} {{.SharedSize}}'",
	"images -f dangling=true", "images $IMG", "images nosuch", "history $IMG", "history -q $IMG", "history --no-trunc --human=false $IMG",
	"volume ls", "volume ls -q", "volume list", "volume ls --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Mountpoint}} {{.Labels}} {{.Links}} {{.Size}}'", "volume ls -qf dangling=true",
	"network ls", "network ls -q", "network ls --no-trunc", "network list --format '{{.ID}} {{.Name}} {{.Driver}} {{.Scope}} {{.IPv4}} {{.IPv6}} {{.Internal}} {{.Labels}}'", "network ls -f driver=host -q",
	"port $N", "port $N 80", "top $N", "diff $N", "logs $N", "logs -n 1 $N",
	"events --since 1h --until 0s -f container=$N -f event=start", "events --since 1h --until 0s -f type=container -f event=die --format '{{.Action}} {{.Actor.Attributes.exitCode}} {{.ID}}'",
	"system df", "system df -v", "system df --format '{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}'", "system df --format 'table {{.Type}}\\t{{.Size}}'",
	"system events --since 1h --until 0s -f type=volume -f volume=$N", "info --format '{{.ServerVersion}} {{.NCPU}} {{.CgroupVersion}} {{.Driver}} {{json .Plugins.Network}}'", "system info -f '{{.ID}}'",
	"version --format '{{.Server.Version}} {{.Server.APIVersion}} {{(index .Server.Components 1).Name}}'",
	"inspect $N ${N}b --format '{{.Name}} {{.State.Status}} {{json .Config.Labels}}'", "inspect -s --type container -f '{{.SizeRw}}' $N",
	"container inspect -f '{{.Path}} {{.Args}} {{.HostConfig.NetworkMode}} {{json .Mounts}}' $N", "network inspect -f '{{.Name}} {{.Driver}} {{json .IPAM.Options}}' bridge host", "volume inspect $N", "inspect --type volume $N", "inspect -f '{{.Config.Env}}' $N", "inspect nosuch", "inspect nosuch $N -f '{{.Name}}'",
	"inspect --type image $N", "inspect -f '{{index .Config.Labels \"l\"}} {{range .Mounts}}{{.Destination}}{{end}} {{println \"x\"}}' $N",
	"container inspect nosuch", "image inspect nosuch", "network inspect nosuch", "volume inspect nosuch", "history nosuch", "port nosuch", "rm nosuch", "rmi nosuch", "volume rm nosuch", "network rm nosuch",
	"stop nosuch", "start nosuch", "kill ${N}b", "logs nosuch", "exec nosuch true", "exec ${N}b true", "cp nosuch:/x .", "diff nosuch", "export nosuch", "commit nosuch", "tag nosuch x", "wait nosuch", "rename nosuch x", "pause ${N}b",
}

// besideJSON print a JSON object a line, with the same keys.
var besideJSON = []string{
	"ps -a --format json", "images --format json", "volume ls --format json", "network ls --format json", "history --format json $IMG", "system df --format json",
	"system df -v --format json", "info --format json", "version --format json", "events --since 1h --until 0s -f container=$N -f event=start --format json", "stats --no-stream --format json $N",
}

// besideDiffers are keys that a docker CLI of another age does not print, and those of the build of one.
var besideDiffers = []string{"HealthStatus", "Platform", "GitCommit", "BuildTime", "status", "id", "from", "Socket", "ClientInfo", "FirewallBackend", "Containers", "DiscoveredDevices", "NRI"}

// TestBesideDocker holds naru's verbs against docker's.
func TestBesideDocker(t *testing.T) {
	docker := filepath.Join(peersFolder, "docker-28/bin/docker")
	if _, err := os.Stat(docker); err != nil {
		t.Skipf("%v; run `scripts/peers`", err)
	}
	requireBuilt(t, "direct")
	w := newWorld(t, "direct") // what others have made would be listed, and counted otherwise by each of the two
	t.Cleanup(w.stop)
	env := []string{"IMG=" + w.image(t, "bookworm"), "N=beside", "DOCKER_HOST=" + w.sh(t, "naru context inspect -f '{{.Socket}}' direct")}
	w.sh(t, `naru run -d --name $N -p 127.0.0.1::80 --label l=v -v $N:/v -e A=b $IMG sh -c 'echo said; sleep 1000' >/dev/null; naru run --name ${N}b $IMG false || :; until naru logs $N | grep -q said; do sleep 0.1; done`, env[:2]...)
	defer w.exec(result{script: "naru rm -fv $N ${N}b; naru volume rm $N", extra: env[:2]})
	both := func(command string) (ours, theirs result) {
		return w.exec(result{script: "naru " + command, extra: env[:2]}), w.exec(result{script: docker + " " + command, extra: env})
	}
	for _, command := range besideCommands {
		t.Run(command, func(t *testing.T) {
			ours, theirs := both(command)
			if timeless(ours.stdout) != timeless(theirs.stdout) || ours.code != theirs.code {
				t.Errorf("naru: %s\ndocker: %s", ours, theirs)
			}
			if a, b := words(ours.stderr), words(theirs.stderr); a != b {
				t.Errorf("naru says:\n%s\ndocker says:\n%s", a, b)
			}
		})
	}
	for _, command := range besideJSON {
		t.Run(command, func(t *testing.T) {
			ours, theirs := both(command)
			if a, b := keysOf(t, ours.stdout), keysOf(t, theirs.stdout); !slices.Equal(a, b) {
				t.Errorf("naru has the keys\n%q\ndocker has\n%q", a, b)
			}
		})
	}
}

var (
	spaces = regexp.MustCompile(`[ \t]+`)
	ago    = regexp.MustCompile(`(Less than a|About a|[0-9]+) (second|minute)s?`)
)

// timeless hides how long ago something was, and the columns' widths, which follow from it.
func timeless(s string) string { return spaces.ReplaceAllString(ago.ReplaceAllString(s, "…"), " ") }

var prefix = regexp.MustCompile(`(?m)^(naru: error: |Error response from daemon: |Error: |error: |Error: response from daemon: )`)

// summaries are what docker adds to the engine's words.
var summaries = regexp.MustCompile(`^(exit status 1|failed to (start containers|rename container named).*)$`)

// words are an error's text without what each CLI puts before it or adds to it.
func words(stderr string) string {
	var kept []string
	for _, line := range strings.Split(prefix.ReplaceAllString(stderr, ""), "\n") {
		if !strings.HasPrefix(line, "naru: hint:") && line != "" && !summaries.MatchString(line) {
			kept = append(kept, prefix.ReplaceAllString(line, ""))
		}
	}
	return strings.Join(kept, "\n")
}

// keysOf are the paths of the first object's keys, down to the second level.
func keysOf(t *testing.T, text string) []string {
	t.Helper()
	var doc map[string]any
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&doc); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var keys []string
	for key, value := range doc {
		if slices.Contains(besideDiffers, key) && !strings.HasPrefix(text, `{"Command"`) || key == "HealthStatus" || key == "Platform" {
			continue
		}
		keys = append(keys, key)
		list, _ := value.([]any)
		if len(list) > 0 {
			value = list[0]
		}
		nested, _ := value.(map[string]any)
		for inner := range nested {
			if !slices.Contains(besideDiffers, inner) {
				keys = append(keys, key+"."+inner)
			}
		}
	}
	slices.Sort(keys)
	return keys
}
