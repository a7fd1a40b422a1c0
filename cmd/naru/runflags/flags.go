// Package runflags is the flags of `run` and `create`, and how they become the request that makes a container. Names,
// short forms, values and errors are those of Docker's CLI.
package runflags

import (
	"maps"
	"slices"

	"github.com/spf13/pflag"
)

// Flags are what the user said. Make them with Add.
type Flags struct {
	set *pflag.FlagSet

	// the process
	attach, env, envFile, labels, labelFile, groupAdd list
	stdin, tty                                        bool
	user, workdir, entrypoint, hostname, domainname   string
	stopSignal                                        string
	stopTimeout                                       int
	health                                            health

	// files
	volumes, tmpfs, volumesFrom, storageOpt list
	mounts                                  mounts
	readOnly                                bool
	volumeDriver                            string
	shmSize                                 bytesValue

	// network
	networks                               networks
	endpoint                               endpointFlags
	publish, expose                        list
	publishAll                             bool
	addHost, dns, dnsOption, dnsSearch     list
	pid, ipc, uts, userns, cgroupns        string
	sysctl                                 list
	ulimits                                ulimits
	capAdd, capDrop, securityOpt           list
	privileged                             bool
	devices                                devices
	deviceRules, annotations               list
	cpus                                   cpus
	cpuShares, cpuPeriod, cpuQuota         int64
	cpuRTPeriod, cpuRTRuntime              int64
	cpusetCPUs, cpusetMems                 string
	memory, memoryReservation, memorySwap  bytesValue
	swappiness, pidsLimit                  int64
	blkioWeight                            uint16
	blkioWeights                           weights
	readBps, writeBps, readIOps, writeIOps rates
	gpus                                   gpus
	oomKillDisable                         bool
	oomScoreAdj                            int
	cgroupParent                           string

	// the container as a whole
	autoRemove, init                     bool
	restart, runtime, logDriver, cidFile string
	isolation                            string
	logOpt                               list
}

// Add defines the flags of `run` and `create` on f.
func Add(f *pflag.FlagSet) *Flags {
	o := &Flags{
		storageOpt: list{check: checkStorage},
		set:        f, ulimits: ulimits{}, memorySwap: bytesValue{unlimited: true},
		attach:  list{check: checkAttach},
		env:     list{check: checkEnv},
		labels:  list{check: checkLabel},
		addHost: list{check: checkHost}, endpoint: endpointFlags{link: list{check: checkLink}},
		dns:         list{check: checkIP},
		sysctl:      list{check: checkSysctl},
		deviceRules: list{check: checkDeviceRule},
		readBps:     rates{bytes: true}, writeBps: rates{bytes: true},
	}
	o.addProcess(f)
	o.addFiles(f)
	o.addNetwork(f)
	o.addIsolation(f)
	o.addResources(f)
	addOthers(f)
	f.BoolVar(&o.autoRemove, "rm", false, "Automatically remove the container and its associated anonymous volumes when it exits")
	f.BoolVar(&o.init, "init", false, "Run an init inside the container that forwards signals and reaps processes")
	f.StringVar(&o.restart, "restart", "no", "Restart policy to apply when a container exits")
	f.StringVar(&o.runtime, "runtime", "", "Runtime to use for this container")
	f.StringVar(&o.isolation, "isolation", "", "Container isolation technology")
	f.StringVar(&o.cidFile, "cidfile", "", "Write the container ID to the file")
	f.StringVar(&o.logDriver, "log-driver", "", "Logging driver for the container")
	f.Var(&o.logOpt, "log-opt", "Log driver options")
	f.Var(&o.annotations, "annotation", "Add an annotation to the container (passed through to the OCI runtime)")
	return o
}

func (o *Flags) addProcess(f *pflag.FlagSet) {
	f.VarP(&o.attach, "attach", "a", "Attach to STDIN, STDOUT or STDERR")
	f.VarP(&o.env, "env", "e", "Set environment variables")
	f.Var(&o.envFile, "env-file", "Read in a file of environment variables")
	f.VarP(&o.labels, "label", "l", "Set meta data on a container")
	f.Var(&o.labelFile, "label-file", "Read in a line delimited file of labels")
	f.Var(&o.groupAdd, "group-add", "Add additional groups to join")
	f.BoolVarP(&o.stdin, "interactive", "i", false, "Keep STDIN open even if not attached")
	f.BoolVarP(&o.tty, "tty", "t", false, "Allocate a pseudo-TTY")
	f.StringVarP(&o.user, "user", "u", "", "Username or UID (format: <name|uid>[:<group|gid>])")
	f.StringVarP(&o.workdir, "workdir", "w", "", "Working directory inside the container")
	f.StringVar(&o.entrypoint, "entrypoint", "", "Overwrite the default ENTRYPOINT of the image")
	f.StringVarP(&o.hostname, "hostname", "h", "", "Container host name")
	f.StringVar(&o.domainname, "domainname", "", "Container NIS domain name")
	f.StringVar(&o.stopSignal, "stop-signal", "", "Signal to stop the container")
	f.IntVar(&o.stopTimeout, "stop-timeout", 0, "Timeout (in seconds) to stop a container")
	o.health.add(f)
}

func (o *Flags) addFiles(f *pflag.FlagSet) {
	f.VarP(&o.volumes, "volume", "v", "Bind mount a volume")
	f.Var(&o.tmpfs, "tmpfs", "Mount a tmpfs directory")
	f.Var(&o.volumesFrom, "volumes-from", "Mount volumes from the specified container(s)")
	f.Var(&o.mounts, "mount", "Attach a filesystem mount to the container")
	f.BoolVar(&o.readOnly, "read-only", false, "Mount the container's root filesystem as read only")
	f.StringVar(&o.volumeDriver, "volume-driver", "", "Optional volume driver for the container")
	f.Var(&o.storageOpt, "storage-opt", "Storage driver options for the container")
	f.Var(&o.shmSize, "shm-size", "Size of /dev/shm")
}

func (o *Flags) addNetwork(f *pflag.FlagSet) {
	f.Var(&o.networks, "network", "Connect a container to a network")
	f.Var(&o.networks, "net", "")
	f.Var(&o.endpoint.aliases, "network-alias", "Add network-scoped alias for the container")
	f.Var(&o.endpoint.aliases, "net-alias", "")
	_ = f.MarkHidden("net") // an unknown name would be a bug that every test shows
	_ = f.MarkHidden("net-alias")
	f.StringVar(&o.endpoint.ip, "ip", "", "IPv4 address (e.g., 172.30.100.104)")
	f.StringVar(&o.endpoint.ip6, "ip6", "", "IPv6 address (e.g., 2001:db8::33)")
	f.StringVar(&o.endpoint.mac, "mac-address", "", "Container MAC address (e.g., 92:d0:c6:0a:29:33)")
	f.Var(&o.endpoint.linkLocal, "link-local-ip", "Container IPv4/IPv6 link-local addresses")
	f.Var(&o.endpoint.link, "link", "Add link to another container")
	f.VarP(&o.publish, "publish", "p", "Publish a container's port(s) to the host")
	f.BoolVarP(&o.publishAll, "publish-all", "P", false, "Publish all exposed ports to random ports")
	f.Var(&o.expose, "expose", "Expose a port or a range of ports")
	f.Var(&o.addHost, "add-host", "Add a custom host-to-IP mapping (host:ip)")
	f.Var(&o.dns, "dns", "Set custom DNS servers")
	f.Var(&o.dnsOption, "dns-option", "Set DNS options")
	f.Var(&o.dnsOption, "dns-opt", "")
	_ = f.MarkHidden("dns-opt")
	f.Var(&o.dnsSearch, "dns-search", "Set custom DNS search domains")
}

func (o *Flags) addIsolation(f *pflag.FlagSet) {
	f.StringVar(&o.pid, "pid", "", "PID namespace to use")
	f.StringVar(&o.ipc, "ipc", "", "IPC mode to use")
	f.StringVar(&o.uts, "uts", "", "UTS namespace to use")
	f.StringVar(&o.userns, "userns", "", "User namespace to use")
	f.StringVar(&o.cgroupns, "cgroupns", "", "Cgroup namespace to use (host|private)")
	f.StringVar(&o.cgroupParent, "cgroup-parent", "", "Optional parent cgroup for the container")
	f.Var(&o.sysctl, "sysctl", "Sysctl options")
	f.Var(o.ulimits, "ulimit", "Ulimit options")
	f.Var(&o.capAdd, "cap-add", "Add Linux capabilities")
	f.Var(&o.capDrop, "cap-drop", "Drop Linux capabilities")
	f.Var(&o.securityOpt, "security-opt", "Security options")
	f.BoolVar(&o.privileged, "privileged", false, "Give extended privileges to this container")
	f.Var(&o.devices, "device", "Add a host device to the container")
	f.Var(&o.deviceRules, "device-cgroup-rule", "Add a rule to the cgroup allowed devices list")
}

func (o *Flags) addResources(f *pflag.FlagSet) {
	f.VarP(&o.memory, "memory", "m", "Memory limit")
	f.Var(&o.memoryReservation, "memory-reservation", "Memory soft limit")
	f.Var(&o.memorySwap, "memory-swap", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap")
	f.Int64Var(&o.swappiness, "memory-swappiness", -1, "Tune container memory swappiness (0 to 100)")
	f.Var(&o.cpus, "cpus", "Number of CPUs")
	f.Int64VarP(&o.cpuShares, "cpu-shares", "c", 0, "CPU shares (relative weight)")
	f.Int64Var(&o.cpuPeriod, "cpu-period", 0, "Limit CPU CFS (Completely Fair Scheduler) period")
	f.Int64Var(&o.cpuQuota, "cpu-quota", 0, "Limit CPU CFS (Completely Fair Scheduler) quota")
	f.Int64Var(&o.cpuRTPeriod, "cpu-rt-period", 0, "Limit CPU real-time period in microseconds")
	f.Int64Var(&o.cpuRTRuntime, "cpu-rt-runtime", 0, "Limit CPU real-time runtime in microseconds")
	f.StringVar(&o.cpusetCPUs, "cpuset-cpus", "", "CPUs in which to allow execution (0-3, 0,1)")
	f.StringVar(&o.cpusetMems, "cpuset-mems", "", "MEMs in which to allow execution (0-3, 0,1)")
	f.Int64Var(&o.pidsLimit, "pids-limit", 0, "Tune container pids limit (set -1 for unlimited)")
	f.Uint16Var(&o.blkioWeight, "blkio-weight", 0, "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)")
	f.Var(&o.blkioWeights, "blkio-weight-device", "Block IO weight (relative device weight)")
	f.Var(&o.readBps, "device-read-bps", "Limit read rate (bytes per second) from a device")
	f.Var(&o.writeBps, "device-write-bps", "Limit write rate (bytes per second) to a device")
	f.Var(&o.readIOps, "device-read-iops", "Limit read rate (IO per second) from a device")
	f.Var(&o.writeIOps, "device-write-iops", "Limit write rate (IO per second) to a device")
	f.Var(&o.gpus, "gpus", "GPU devices to add to the container ('all' to pass all GPUs)")
	f.BoolVar(&o.oomKillDisable, "oom-kill-disable", false, "Disable OOM Killer")
	f.IntVar(&o.oomScoreAdj, "oom-score-adj", 0, "Tune host's OOM preferences (-1000 to 1000)")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
