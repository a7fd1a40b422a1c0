package runflags

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// dockerFlags are the flags of `docker run` and `docker create` (docker CLI 29), those of the verbs themselves left out: detach,
// detach-keys, name, platform, pull, quiet, sig-proxy.
var dockerFlags = strings.Fields(`add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns
	cidfile cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems device
	device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops disable-content-trust dns dns-opt dns-option
	dns-search domainname entrypoint env env-file expose gpus group-add health-cmd health-interval health-retries
	health-start-interval health-start-period health-timeout hostname init interactive io-maxbandwidth io-maxiops ip ip6 ipc isolation
	kernel-memory label label-file link link-local-ip log-driver log-opt mac-address memory memory-reservation memory-swap
	memory-swappiness mount net net-alias network network-alias no-healthcheck oom-kill-disable oom-score-adj pid pids-limit
	privileged publish publish-all read-only restart rm runtime security-opt shm-size stop-signal stop-timeout storage-opt sysctl
	tmpfs tty ulimit use-api-socket user userns uts volume volume-driver volumes-from workdir`)

var dockerShort = map[string]string{
	"a": "attach", "c": "cpu-shares", "e": "env", "h": "hostname", "i": "interactive", "l": "label", "m": "memory", "p": "publish",
	"P": "publish-all", "t": "tty", "u": "user", "v": "volume", "w": "workdir",
}

// Every flag of Docker's exists here, or docs/compat.md says why not.
func TestFlagsOfDocker(t *testing.T) {
	compat, err := os.ReadFile("../../../docs/compat.md")
	if err != nil {
		t.Fatal(err)
	}
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	Add(f)
	for _, name := range dockerFlags {
		if f.Lookup(name) == nil && !strings.Contains(string(compat), "`--"+name+"`") {
			t.Errorf("--%s is not there, and docs/compat.md does not say why", name)
		}
	}
	f.VisitAll(func(flag *pflag.Flag) {
		if !slices.Contains(dockerFlags, flag.Name) {
			t.Errorf("--%s is not Docker's", flag.Name)
		}
	})
	for short, name := range dockerShort {
		if flag := f.ShorthandLookup(short); flag == nil || flag.Name != name {
			t.Errorf("-%s is not --%s", short, name)
		}
	}
}

// What is wrong is refused with the words of Docker's CLI.
func TestRefused(t *testing.T) {
	for args, want := range map[string]string{
		"--blkio-weight-device=sda:10":       "bad format for device path: sda:10",
		"--blkio-weight-device=/dev/sda":     "bad format: /dev/sda",
		"--blkio-weight-device=/dev/sda:5":   "invalid weight for device: /dev/sda:5",
		"--device-read-bps=/dev/sda:x":       "invalid rate for device: /dev/sda:x. The correct format is <device-path>:<number>[<unit>]",
		"--device-write-iops=/dev/sda:-1":    "invalid rate for device: /dev/sda:-1. The correct format is <device-path>:<number>. Number",
		"--gpus=foo":                         `invalid count (foo): value must be either "all" or an integer: invalid syntax`,
		"--gpus=all,count=2":                 "gpu request key 'count' can be specified only once",
		"--gpus=x=1":                         "unexpected key 'x' in 'x=1'",
		"--device=/dev/sda:/dev/x:rrr":       "bad mode specified: rrr",
		"--device=/dev/a:b":                  "b is not an absolute path",
		"--device=a:/b:r:w":                  "bad format for path: a:/b:r:w",
		"--device-cgroup-rule=x 1:1 r":       "invalid device cgroup format 'x 1:1 r'",
		"--sysctl=kernel.panic=1":            "sysctl 'kernel.panic=1' is not allowed",
		"--sysctl=net.core.somaxconn":        "sysctl 'net.core.somaxconn' is not allowed",
		"--memory=lots":                      `invalid size: 'lots'`,
		"--cpus=0.0000000001":                "value is too precise",
		"--cpus=x":                           "failed to parse x as a rational number",
		"--memory-swappiness=101":            "invalid value: 101. Valid memory swappiness range is 0-100",
		"--ulimit=nofile=2:1":                "ulimit soft limit must be less than or equal to hard limit: 2 > 1",
		"--ulimit=files=1":                   "invalid ulimit type: files",
		"--label=a b=c":                      "label 'a b' contains whitespaces",
		"--label==c":                         "invalid label '=c': empty name",
		"--env==c":                           "invalid environment variable: =c",
		"--env-file=/no/such":                "--env-file: open /no/such: no such file or directory",
		"--label-file=/no/such":              "--label-file: open /no/such: no such file or directory",
		"--security-opt=foo":                 `invalid --security-opt: "foo"`,
		"--security-opt=seccomp=":            `invalid --security-opt: "seccomp="`,
		"--security-opt=seccomp=/no/such":    "opening seccomp profile (/no/such) failed: open /no/such: no such file or directory",
		"--security-opt=seccomp=/etc/passwd": "compacting json for seccomp profile (/etc/passwd) failed:",
		"--storage-opt=size":                 "invalid storage option",
		"--pid=foo":                          "--pid: invalid PID mode",
		"--uts=foo":                          "--uts: invalid UTS mode",
		"--userns=auto":                      "--userns: invalid USER mode",
		"--cgroupns=foo":                     "--cgroupns: invalid CGROUP mode",
		"--cpu-count=2":                      `"--cpu-count" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux`,
		"--mac-address=x":                    "x is not a valid mac address",
		"--attach=out":                       "valid streams are STDIN, STDOUT and STDERR",
		"--log-driver=none --log-opt=a=b":    "invalid logging opts for driver none",
		"--rm --restart=always":              "conflicting options: cannot specify both --restart and --rm",
		"--restart=on-failure:x":             "invalid restart policy format: maximum retry count must be an integer",
		"--no-healthcheck --health-cmd=x":    "--no-healthcheck conflicts with --health-* options",
		"--health-retries=-1":                "--health-retries cannot be negative",
	} {
		err := parse(args)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}

var space = regexp.MustCompile(` (--)`)

func parse(args string) error {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	o := Add(f)
	if err := f.Parse(strings.Split(space.ReplaceAllString(args, "\x00$1"), "\x00")); err != nil {
		return err
	}
	_, err := o.Parse("img", nil)
	return err
}

func TestResources(t *testing.T) {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	o := Add(f)
	args := `--memory-swap=-1 --blkio-weight-device=/dev/sda:10 --device-read-bps=/dev/sda:1mb --device-write-iops=/dev/sda:7
--gpus=all --device=/dev/a:/dev/b:r --device=/dev/c:rw --device=v.com/c=d --sysctl=net.a=1 --security-opt=no-new-privileges`
	if err := f.Parse(strings.Fields(args)); err != nil {
		t.Fatal(err)
	}
	r, err := o.Parse("img", nil)
	if err != nil {
		t.Fatal(err)
	}
	h := r.HostConfig
	got := fmt.Sprint(h.MemorySwap, *h.BlkioWeightDevice[0], *h.BlkioDeviceReadBps[0], *h.BlkioDeviceWriteIOps[0], h.DeviceRequests, h.Devices, h.Sysctls)
	want := "-1 {/dev/sda 10} {/dev/sda 1048576} {/dev/sda 7} [{ -1 [] [[gpu]] map[]} {cdi 0 [v.com/c=d] [] map[]}] " +
		"[{/dev/a /dev/b r} {/dev/c /dev/c rw}] map[net.a:1]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
