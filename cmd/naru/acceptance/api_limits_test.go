package acceptance

// apiLimitCases are about limits, devices, security options and namespaces: what is refused at creation, with which words, and what
// inspect shows of the rest.
var apiLimitCases = append([]apiCase{
	refusedHost("memory below 6 MB", `"Memory":4096`, "Minimum memory limit allowed is 6MB"),
	refusedHost("swap below memory", `"Memory":67108864,"MemorySwap":33554432`, "Minimum memoryswap limit should be larger than memory limit, see usage"),
	refusedHost("swap without memory", `"MemorySwap":67108864`, "You should always set the Memory limit when using Memoryswap limit, see usage"),
	refusedHost("reservation below 6 MB", `"MemoryReservation":4096`, "Minimum memory reservation allowed is 6MB"),
	refusedHost("reservation above memory", `"Memory":33554432,"MemoryReservation":67108864`, "Minimum memory limit can not be less than memory reservation limit, see usage"),
	refusedHost("too many CPUs", `"NanoCpus":99000000000`, `/^range of CPUs is from 0\.01 to \d+\.00, as there are only \d+ CPUs available$/`),
	refusedHost("CPUs and a period", `"NanoCpus":100000000,"CpuPeriod":100000`, "Conflicting options: Nano CPUs and CPU Period cannot both be set"),
	refusedHost("CPUs and a quota", `"NanoCpus":100000000,"CpuQuota":50000`, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
	refusedHost("period too short", `"CpuPeriod":10`, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"),
	refusedHost("quota too short", `"CpuQuota":10`, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
	refusedHost("negative shares", `"CpuShares":-1`, "invalid CPU shares (-1): value must be a positive integer"),
	refusedHost("CPUs that are not there", `"CpusetCpus":"77"`, `/^Requested CPUs are not available - requested 77, available: \S+$/`),
	refusedHost("memory nodes that are not there", `"CpusetMems":"77"`, `/^Requested memory nodes are not available - requested 77, available: \S+$/`),
	refusedHost("a cpuset that is none", `"CpusetCpus":"a"`, "Invalid value a for cpuset cpus: invalid format: a"),
	refusedHost("bandwidth of Windows", `"IOMaximumBandwidth":1`, "invalid option: QoS maximum bandwidth configuration is not supported on linux"),
	refusedHost("negative shm", `"ShmSize":-1`, "SHM size can not be less than 0"),
	refusedHost("oom score", `"OomScoreAdj":1001`, "Invalid value 1001, range for oom score adj is [-1000, 1000]"),
	refusedHost("unknown capability", `"CapAdd":["nosuch"]`, `invalid CapAdd: unknown capability: "CAP_NOSUCH"`),
	refusedHost("unknown capability to drop", `"CapDrop":["nosuch"],"Privileged":true`, `invalid CapDrop: unknown capability: "CAP_NOSUCH"`),
	refusedHost("unknown runtime", `"Runtime":"nosuch"`, "unknown or invalid runtime name: nosuch"),
	refusedHost("IPC mode", `"IpcMode":"nosuch"`, "invalid IPC mode: nosuch"),
	refusedHost("PID mode", `"PidMode":"nosuch"`, "invalid PID mode: nosuch"),
	refusedHost("UTS mode", `"UTSMode":"nosuch"`, "invalid UTS mode: nosuch"),
	refusedHost("cgroup namespace mode", `"CgroupnsMode":"nosuch"`, "invalid cgroup namespace mode: nosuch"),
	refusedHost("isolation", `"Isolation":"hyperv"`, "invalid isolation (hyperv): linux only supports 'default'"),
	refusedHost("AutoRemove with a restart policy", `"AutoRemove":true,"RestartPolicy":{"Name":"always"}`, "can't create 'AutoRemove' container with restart policy"),
	refusedHost("annotation without a key", `"Annotations":{"":"x"}`, "invalid Annotations: the empty string is not permitted as an annotation key"),
	refusedHost("network container without a name", `"NetworkMode":"container:"`, "invalid network mode: invalid container format container:<name|id>"),
	refusedHost("network of another container and DNS", `"NetworkMode":"container:$UP","Dns":["1.2.3.4"]`, "conflicting options: dns and the network mode"),
	refusedHost("network of another container and hosts", `"NetworkMode":"container:$UP","ExtraHosts":["a:1.2.3.4"]`, "conflicting options: custom host-to-IP mapping and the network mode"),
	refusedHost("network of another container and ports", `"NetworkMode":"container:$UP","PortBindings":{"80/tcp":[{}]}`, "conflicting options: port publishing and the container type network mode"),
	refusedHost("IPC of a container that is not there", `"IpcMode":"container:nosuch"`, "No such container: nosuch"),
	refusedHost("PID of a container that is not there", `"PidMode":"container:nosuch"`, "No such container: nosuch"),
	refusedHost("volumes of a container that is not there", `"VolumesFrom":["nosuch"]`, "No such container: nosuch"),
	refused("network of another container and a host name", `"Hostname":"a","HostConfig":{"NetworkMode":"container:$UP"}`, "conflicting options: hostname and the network mode"),
	refused("network of another container and exposed ports", `"ExposedPorts":{"80/tcp":{}},"HostConfig":{"NetworkMode":"container:$UP"}`, "conflicting options: port exposing and the container type network mode"),
	refused("UTS of the host and a host name", `"Hostname":"a","HostConfig":{"UTSMode":"host"}`, "conflicting options: hostname and the UTS mode"),
	refused("relative working folder", `"WorkingDir":"a"`, "the working directory 'a' is invalid, it needs to be an absolute path"),
	refused("environment without a name", `"Env":["=a"]`, "invalid environment variable: =a"),
	refused("stop signal", `"StopSignal":"NOSUCH"`, "invalid signal: NOSUCH"),
	refused("health check too often", `"Healthcheck":{"Interval":1}`, "Interval in Healthcheck cannot be less than 1ms"),
	refused("the image is looked for last", `"Image":"nosuch:1","HostConfig":{"Memory":1}`, "Minimum memory limit allowed is 6MB"),
}, apiLimitEffects...)

// refused is a creation that fails with status 400, with these fields beside Image and Cmd.
func refused(what, fields, message string) apiCase {
	return apiCase{
		name: "create refused: " + what, call: `POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"],` + fields + `}`,
		status: 400, message: message, after: []step{{call: `GET /containers/$N/json`, status: 404}},
	}
}

func refusedHost(what, fields, message string) apiCase {
	return refused(what, `"HostConfig":{`+fields+`}`, message)
}

// sooner is refused at creation by naru, and at the start by dockerd.
func sooner(what, fields, message string) apiCase {
	c := refusedHost(what, fields, message)
	c.differs = "refused-at-create"
	return c
}

func with(c apiCase, change func(*apiCase)) apiCase {
	change(&c)
	return c
}

var apiLimitEffects = []apiCase{
	with(refusedHost("port 0", `"PortBindings":{"0/tcp":[{}]}`, `invalid port specification: "0/tcp"`), func(c *apiCase) { c.since = "1.52" }),
	with(refusedHost("security option", `"SecurityOpt":["nosuch"]`, `invalid --security-opt 1: "nosuch"`), func(c *apiCase) { c.differs = "status of bad security options" }),
	sooner("IPC of a container that does not share it", `"IpcMode":"container:$UP"`, `/non-shareable IPC \(hint: use IpcMode:shareable for the donor container\)$/`),
	sooner("sysctl of the host's network", `"NetworkMode":"host","Sysctls":{"net.core.somaxconn":"5"}`, `sysctl "net.core.somaxconn" not allowed in host network namespace`),
	sooner("sysctl of the host", `"Sysctls":{"kernel.panic":"5"}`, `sysctl "kernel.panic" is not in a separate kernel namespace`),
	sooner("unknown ulimit", `"Ulimits":[{"Name":"nosuch","Soft":1,"Hard":1}]`, "invalid ulimit type: nosuch"),
	sooner("ulimit above itself", `"Ulimits":[{"Name":"nofile","Soft":2,"Hard":1}]`, "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
	sooner("device rule", `"DeviceCgroupRules":["x 1:1 r"]`, "invalid device cgroup rule format: 'x 1:1 r'"),
	sooner("seccomp profile that is none", `"SecurityOpt":["seccomp={"]`, "/^Decoding seccomp profile failed: /"),
	sooner("group beyond the last", `"GroupAdd":["4294967295"]`, "/must be in range 0-4294967294/"),
	sooner("user namespace mode", `"UsernsMode":"auto"`, "invalid USER mode: auto"),
	{
		name: "create: limits as inspect shows them", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"],"HostConfig":{"Memory":67108864,"PidsLimit":-1,"NanoCpus":500000000,"CpusetCpus":"0","ShmSize":1048576}}`},
		call: `GET /containers/$N/json`, status: 200, loose: []string{"HostConfig", "Config"},
		body: `{"HostConfig":{"Memory":67108864,"MemorySwap":134217728,"PidsLimit":null,"NanoCpus":500000000,"CpusetCpus":"0","ShmSize":1048576,"OomKillDisable":false}}`,
	},
	{
		name: "create: defaults as inspect shows them", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"]}`},
		call: `GET /containers/$N/json`, status: 200, loose: []string{"HostConfig", "Config"},
		body: `{"HostConfig":{"Memory":0,"MemorySwap":0,"ShmSize":67108864,"IpcMode":"private","PidMode":"","UTSMode":"","OomKillDisable":false,"SecurityOpt":null,"Privileged":false,` +
			`"ReadonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"],"RestartPolicy":{"Name":"no","MaximumRetryCount":0}}}`,
	},
	{
		name: "create: privileged as inspect shows it", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"],"HostConfig":{"Privileged":true}}`},
		call: `GET /containers/$N/json`, status: 200, loose: []string{"HostConfig", "Config"},
		body: `{"HostConfig":{"Privileged":true,"SecurityOpt":["label=disable"],"MaskedPaths":null,"ReadonlyPaths":null}}`,
	},
	{
		name: "start: a GPU", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"],"HostConfig":{"DeviceRequests":[{"Count":-1,"Capabilities":[["gpu"]]}]}}`},
		call: `POST /containers/$N/start`, status: 500, message: `could not select device driver "" with capabilities: [[gpu]]`,
		after: []step{{call: `GET /containers/$N/json`, body: `{"State":{"Status":"created","ExitCode":128,"Error":"could not select device driver \"\" with capabilities: [[gpu]]"}}`}},
	},
	{
		name: "start: a device that is not there", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"],"HostConfig":{"Devices":[{"PathOnHost":"/dev/nosuch","PathInContainer":"/dev/x","CgroupPermissions":"rwm"}]}}`},
		call: `POST /containers/$N/start`, status: 500, message: `error gathering device information while adding custom device "/dev/nosuch": no such file or directory`,
	},
	{
		name: "start: an unknown user", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"],"User":"nosuch"}`},
		call: `POST /containers/$N/start`, status: 500, message: `unable to find user nosuch: no matching entries in passwd file`,
	},
	{
		name: "start: an unknown group", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"],"User":"0:nosuch"}`},
		call: `POST /containers/$N/start`, status: 500, message: `unable to find group nosuch: no matching entries in group file`,
	},
	{
		name: "start: the network of a container that does not run", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"],"HostConfig":{"NetworkMode":"container:$EXITED"}}`},
		call: `POST /containers/$N/start`, status: 409, message: "/^cannot join network namespace of a non running container: container .* is exited$/",
	},
}
