package runflags

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// Result is what the flags say.
type Result struct {
	container.CreateRequest
	CIDFile  string   // where the ID is written, empty for nowhere
	Warnings []string // for the user
}

// Parse makes the request from the flags, the image and the command.
func (o *Flags) Parse(image string, command []string) (*Result, error) {
	if err := o.checkOthers(); err != nil {
		return nil, err
	}
	config, err := o.config(image, command)
	if err != nil {
		return nil, err
	}
	host, err := o.hostConfig()
	if err != nil {
		return nil, err
	}
	var r Result
	if config.ExposedPorts, host.PortBindings, err = parsePorts(o.publish.values, o.expose.values); err != nil {
		return nil, err
	}
	if host.Binds, config.Volumes, err = splitVolumes(o.volumes.values); err != nil {
		return nil, err
	}
	if host.NetworkMode, r.NetworkingConfig, err = o.networks.resolve(&o.endpoint); err != nil {
		return nil, err
	}
	if host.AutoRemove && !host.RestartPolicy.IsNone() {
		return nil, errors.New("conflicting options: cannot specify both --restart and --rm")
	}
	host.ContainerIDFile = o.cidFile
	r.Config, r.HostConfig, r.CIDFile, r.Warnings = config, host, o.cidFile, o.warnings()
	return &r, nil
}

func (o *Flags) changed(name string) bool { return o.set.Changed(name) }

func (o *Flags) config(image string, command []string) (*container.Config, error) {
	env, err := ReadEnv(o.envFile.values, o.env.values)
	if err != nil {
		return nil, fmt.Errorf("--env-file: %w", err)
	}
	labels, err := readLabels(o.labelFile.values, o.labels.values)
	if err != nil {
		return nil, fmt.Errorf("--label-file: %w", err)
	}
	check, err := o.health.config()
	if err != nil {
		return nil, err
	}
	c := &container.Config{
		Hostname: o.hostname, Domainname: o.domainname, User: o.user, Tty: o.tty, OpenStdin: o.stdin,
		Env: env, Cmd: command, Image: image, WorkingDir: o.workdir, Labels: keyValues(labels),
		StopSignal: o.stopSignal, Healthcheck: check,
	}
	if len(command) == 0 {
		c.Cmd = nil
	}
	if o.changed("entrypoint") { // an empty one removes the image's
		c.Entrypoint = []string{o.entrypoint}
	}
	if o.changed("stop-timeout") {
		c.StopTimeout = &o.stopTimeout
	}
	all := len(o.attach.values) == 0
	c.AttachStdin = o.stdin && all || slices.Contains(o.attach.values, "stdin")
	c.AttachStdout = all || slices.Contains(o.attach.values, "stdout")
	c.AttachStderr = all || slices.Contains(o.attach.values, "stderr")
	c.StdinOnce = c.OpenStdin && c.AttachStdin
	return c, nil
}

func (o *Flags) hostConfig() (*container.HostConfig, error) {
	restart, err := parseRestart(o.restart)
	if err != nil {
		return nil, err
	}
	logOpts := keyValues(o.logOpt.values)
	if o.logDriver == "none" && len(logOpts) > 0 {
		return nil, fmt.Errorf("invalid logging opts for driver %s", o.logDriver)
	}
	security, unconfined, err := securityOpts(o.securityOpt.values)
	if err != nil {
		return nil, err
	}
	resources, err := o.resources()
	if err != nil {
		return nil, err
	}
	h := &container.HostConfig{
		LogConfig: container.LogConfig{Type: o.logDriver, Config: logOpts}, RestartPolicy: restart, AutoRemove: o.autoRemove,
		VolumeDriver: o.volumeDriver, VolumesFrom: o.volumesFrom.values, Annotations: o.annotations.keyed(),
		CapAdd: o.capAdd.values, CapDrop: o.capDrop.values, DNSOptions: o.dnsOption.values, DNSSearch: o.dnsSearch.values,
		ExtraHosts: o.addHost.values, GroupAdd: o.groupAdd.values, Links: o.endpoint.link.values, OomScoreAdj: o.oomScoreAdj,
		Privileged: o.privileged, PublishAllPorts: o.publishAll, ReadonlyRootfs: o.readOnly, SecurityOpt: security,
		StorageOpt: o.storageOpt.keyed(), Sysctls: o.sysctl.keyed(), ShmSize: o.shmSize.n, Runtime: o.runtime,
		Isolation: container.Isolation(o.isolation), Resources: *resources, Mounts: o.mounts.list, Tmpfs: tmpfs(o.tmpfs.values),
	}
	for _, s := range o.dns.values {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return nil, err
		}
		h.DNS = append(h.DNS, ip)
	}
	if unconfined {
		h.MaskedPaths, h.ReadonlyPaths = []string{}, []string{}
	}
	if o.changed("init") {
		h.Init = &o.init
	}
	return h, o.namespaces(h)
}

// namespaces sets the modes that share a namespace with the host or another container.
func (o *Flags) namespaces(h *container.HostConfig) error {
	h.PidMode, h.IpcMode, h.UTSMode = container.PidMode(o.pid), container.IpcMode(o.ipc), container.UTSMode(o.uts)
	h.UsernsMode, h.CgroupnsMode = container.UsernsMode(o.userns), container.CgroupnsMode(o.cgroupns)
	switch {
	case !h.PidMode.Valid():
		return errors.New("--pid: invalid PID mode")
	case !h.UTSMode.Valid():
		return errors.New("--uts: invalid UTS mode")
	case !h.UsernsMode.Valid():
		return errors.New("--userns: invalid USER mode")
	case !h.CgroupnsMode.Valid():
		return errors.New("--cgroupns: invalid CGROUP mode")
	}
	return nil
}

func (o *Flags) resources() (*container.Resources, error) {
	r := &container.Resources{
		CgroupParent: o.cgroupParent, Memory: o.memory.n, MemoryReservation: o.memoryReservation.n, MemorySwap: o.memorySwap.n,
		CPUShares: o.cpuShares, NanoCPUs: int64(o.cpus), CPUPeriod: o.cpuPeriod, CPUQuota: o.cpuQuota,
		CPURealtimePeriod: o.cpuRTPeriod, CPURealtimeRuntime: o.cpuRTRuntime, CpusetCpus: o.cpusetCPUs, CpusetMems: o.cpusetMems,
		BlkioWeight: o.blkioWeight, Ulimits: o.ulimits.list(), DeviceCgroupRules: o.deviceRules.values,
		Devices: o.devices.mapped, DeviceRequests: slices.Concat(o.gpus, o.devices.requests()),
		BlkioWeightDevice: o.blkioWeights, BlkioDeviceReadBps: o.readBps.list, BlkioDeviceWriteBps: o.writeBps.list,
		BlkioDeviceReadIOps: o.readIOps.list, BlkioDeviceWriteIOps: o.writeIOps.list,
	}
	if o.swappiness != -1 && (o.swappiness < 0 || o.swappiness > 100) {
		return nil, fmt.Errorf("invalid value: %d. Valid memory swappiness range is 0-100", o.swappiness)
	}
	if o.changed("memory-swappiness") {
		r.MemorySwappiness = &o.swappiness
	}
	if o.changed("pids-limit") {
		r.PidsLimit = &o.pidsLimit
	}
	if o.changed("oom-kill-disable") {
		r.OomKillDisable = &o.oomKillDisable
	}
	return r, nil
}

// tmpfs splits path[:options].
func tmpfs(values []string) map[string]string {
	if len(values) == 0 {
		return nil
	}
	m := map[string]string{}
	for _, v := range values {
		path, options, _ := strings.Cut(v, ":")
		m[path] = options
	}
	return m
}
