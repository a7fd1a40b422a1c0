package acceptance

// apiContainerCases are about making and inspecting containers.
var apiContainerCases = concat(apiCreateCases, apiCreateRefused, apiCreateVersions, apiInspectCases)

func concat(parts ...[]apiCase) (all []apiCase) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// creates is a case of a create that succeeds: what inspect must show afterwards.
func creates(name, body, shown string) apiCase {
	return apiCase{
		name: "create: " + name, call: `POST /containers/create?name=$N {"Image":"$IMG",` + body + `}`, status: 201, body: `{"Id":"<id>","Warnings":[]}`,
		after: []step{{call: `GET /containers/$N/json`, status: 200, body: shown}},
	}
}

// refusesCreate is a case of a create that is refused, after which there is nothing.
func refusesCreate(name, body, message string) apiCase {
	return apiCase{
		name: "create refused: " + name, call: `POST /containers/create?name=$N {"Image":"$IMG",` + body + `}`, status: 400, message: message,
		after: []step{{call: `GET /containers/$N/json`, status: 404}},
	}
}

// sinceVersion is a case that an older dockerd does not answer so.
func sinceVersion(v string, c apiCase) apiCase {
	c.since = v
	return c
}

var apiCreateCases = []apiCase{
	{
		name: "create: the smallest body", call: `POST /containers/create?name=$N {"Image":"$IMG"}`, status: 201, body: `{"Id":"<id>","Warnings":[]}`,
		after: []step{{call: `GET /containers/$N/json`, body: `{"Name":"/$N","Path":"bash","Args":[],"Config":{"Image":"$IMG","Cmd":["bash"],"Entrypoint":null,"Env":["IMAGE_ENV=from-image"],
			"Labels":{"program":"redis-server"},"User":"","WorkingDir":"","Tty":false,"OpenStdin":false,"StdinOnce":false,"AttachStdin":false,"AttachStdout":false,"AttachStderr":false,
			"Hostname":"/^[0-9a-f]{12}$/","Domainname":"","Volumes":null}}`}},
	},
	{
		name: "create: any name", before: []string{`C=POST /containers/create {"Image":"$IMG"}`}, call: `GET /containers/$C/json`, status: 200,
		body: `{"Id":"$C","Name":"/^\\/[a-z]+_[a-z]+[0-9]*$/"}`, after: []step{{call: `DELETE /containers/$C`, status: 204}},
	},
	{name: "create: a name with its slash", call: `POST /containers/create?name=/$N {"Image":"$IMG"}`, status: 201, after: []step{{call: `GET /containers/$N/json`, body: `{"Name":"/$N"}`}}},
	{name: "create: a long name", call: `POST /containers/create?name=${N}b-0123456789012345678901234567890123456789012345678901234567890123456789.x_y {"Image":"$IMG"}`, status: 201,
		after: []step{{call: `DELETE /containers/${N}b-0123456789012345678901234567890123456789012345678901234567890123456789.x_y`, status: 204}}},
	{name: "create: a name that is taken", call: `POST /containers/create?name=$UP {"Image":"$IMG"}`, status: 409,
		message: `/^Conflict\. The container name "\/$UP" is already in use by container "[0-9a-f]{64}"\. You have to remove \(or rename\) that container to be able to reuse that name\.$/`},
	{name: "create: a name of one letter", call: `POST /containers/create?name=x {"Image":"$IMG"}`, status: 400, message: "Invalid container name (x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
	{name: "create: a name that begins with a dash", call: `POST /containers/create?name=-xy {"Image":"$IMG"}`, status: 400, message: "Invalid container name (-xy), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
	{name: "create: a name with a slash", call: `POST /containers/create?name=a/b {"Image":"$IMG"}`, status: 400, message: "Invalid container name (a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
	{name: "create: a name with two slashes", call: `POST /containers/create?name=//ab {"Image":"$IMG"}`, status: 400, message: "Invalid container name (//ab), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
	{name: "create: a name with other letters", call: `POST /containers/create?name=%C3%A4b {"Image":"$IMG"}`, status: 400, message: "Invalid container name (äb), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},

	{name: "create: the image is not there", call: `POST /containers/create {"Image":"nosuch:1"}`, status: 404, message: "No such image: nosuch:1"},
	{name: "create: the image without a tag is not there", call: `POST /containers/create {"Image":"nosuch"}`, status: 404, message: "No such image: nosuch:latest"},
	{name: "create: the digest is not there", call: `POST /containers/create {"Image":"nosuch@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`, status: 404,
		message: "No such image: nosuch@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
	{name: "create: the ID is not there", call: `POST /containers/create {"Image":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`, status: 404,
		message: "No such image: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
	{name: "create: an image with capital letters", call: `POST /containers/create {"Image":"UPPER"}`, status: 400, message: "invalid reference format: repository name (library/UPPER) must be lowercase"},
	{name: "create: an image with a space", call: `POST /containers/create {"Image":"a b"}`, status: 400, message: "invalid reference format"},
	{name: "create: no image", call: `POST /containers/create?name=$N {"Cmd":["true"]}`, status: 400, message: "no image specified", differs: "no image"},
	{name: "create: a platform that fits", call: `POST /containers/create?name=$N&platform=linux/amd64 {"Image":"$IMG"}`, status: 201},
	{name: "create: a platform that the image is not of", call: `POST /containers/create?name=$N&platform=linux/arm64 {"Image":"$IMG"}`, status: 404,
		message: "image with reference $IMG:latest was found but does not provide the specified platform (linux/arm64)", since: "1.52"},
	{name: "create: a platform that nobody knows", call: `POST /containers/create?name=$N&platform=nosuch {"Image":"$IMG"}`, status: 400, message: `"nosuch": unknown operating system or architecture: invalid argument`},
	{name: "create: a platform with too many parts", call: `POST /containers/create?name=$N&platform=a/b/c/d {"Image":"$IMG"}`, status: 400, message: `"a/b/c/d": cannot parse platform specifier: invalid argument`},
	{name: "create: the platform came with 1.41", call: `POST /v1.40/containers/create?name=$N&platform=nosuch {"Image":"$IMG"}`, status: 201},

	creates("a command", `"Cmd":["echo","a b"]`, `{"Path":"echo","Args":["a b"],"Config":{"Cmd":["echo","a b"],"Entrypoint":null}}`),
	creates("an entrypoint drops the image's command", `"Entrypoint":["sh","-c"]`, `{"Path":"sh","Args":["-c"],"Config":{"Cmd":null,"Entrypoint":["sh","-c"]}}`),
	creates("an entrypoint and a command", `"Entrypoint":["sh","-c"],"Cmd":["true"]`, `{"Path":"sh","Args":["-c","true"],"Config":{"Cmd":["true"],"Entrypoint":["sh","-c"]}}`),
	creates("an empty entrypoint is the image's", `"Entrypoint":[]`, `{"Path":"bash","Config":{"Cmd":["bash"],"Entrypoint":[]}}`),
	creates("an entrypoint of one empty string is none", `"Entrypoint":[""],"Cmd":["true"]`, `{"Path":"true","Args":[],"Config":{"Entrypoint":null,"Cmd":["true"]}}`),
	creates("environment before the image's", `"Env":["B=1","A=2=3","EMPTY="]`, `{"Config":{"Env":["B=1","A=2=3","EMPTY=","IMAGE_ENV=from-image"]}}`),
	creates("environment instead of the image's", `"Env":["IMAGE_ENV=mine"]`, `{"Config":{"Env":["IMAGE_ENV=mine"]}}`),
	creates("a variable that is unset", `"Env":["UNSET"]`, `{"Config":{"Env":["UNSET","IMAGE_ENV=from-image"]}}`),
	creates("labels beside the image's", `"Labels":{"a":"b","program":"mine"}`, `{"Config":{"Labels":{"a":"b","program":"mine"}}}`),
	creates("user, folder, names", `"User":"1000:1000","WorkingDir":"/tmp","Hostname":"box","Domainname":"example.org"`,
		`{"Config":{"User":"1000:1000","WorkingDir":"/tmp","Hostname":"box","Domainname":"example.org"}}`),
	creates("a working folder is cleaned", `"WorkingDir":"/tmp//a/../b"`, `{"Config":{"WorkingDir":"/tmp/b"}}`),
	creates("streams", `"AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"OpenStdin":true,"StdinOnce":true,"Tty":true`,
		`{"Config":{"AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"OpenStdin":true,"StdinOnce":true,"Tty":true}}`),
	creates("stop signal and timeout", `"StopSignal":"SIGUSR1","StopTimeout":7`, `{"Config":{"StopSignal":"SIGUSR1","StopTimeout":7}}`),
	creates("ports", `"ExposedPorts":{"80/tcp":{},"53/udp":{},"9/sctp":{}},"HostConfig":{"PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"18099"}]}}`,
		`{"Config":{"ExposedPorts":{"80/tcp":{},"53/udp":{},"9/sctp":{}}},"HostConfig":{"PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"18099"}]}},"NetworkSettings":{"Ports":{}}}`),
	sinceVersion("1.52", creates("a port without its protocol is TCP", `"ExposedPorts":{"80":{}}`, `{"Config":{"ExposedPorts":{"80/tcp":{}}}}`)),
	creates("volumes", `"Volumes":{"/data":{}}`, `{"Config":{"Volumes":{"/data":{}}},"Mounts":[{"Type":"volume","Name":"<id>","Destination":"/data","Driver":"local","Mode":"","RW":true,"Propagation":""}]}`),
	creates("binds", `"HostConfig":{"Binds":["$DIR:/a:ro","$N:/b"]}`,
		`{"HostConfig":{"Binds":["$DIR:/a:ro","$N:/b"]},"Mounts":["...",{"Type":"bind","Source":"$DIR","Destination":"/a","Mode":"ro","RW":false,"Propagation":"rprivate"},
			{"Type":"volume","Name":"$N","Destination":"/b","Driver":"local","Mode":"z","RW":true,"Propagation":""}]}`),
	creates("a tmpfs", `"HostConfig":{"Tmpfs":{"/t":"size=1m"}}`, `{"HostConfig":{"Tmpfs":{"/t":"size=1m"}},"Mounts":[]}`),
	creates("the network default is the bridge", `"HostConfig":{"NetworkMode":"default"}`, `{"HostConfig":{"NetworkMode":"bridge"},"NetworkSettings":{"Networks":{"bridge":{}}}}`),
	creates("the network none", `"HostConfig":{"NetworkMode":"none"}`, `{"HostConfig":{"NetworkMode":"none"},"NetworkSettings":{"Networks":{"none":{}}}}`),
	creates("a network that is not there yet", `"HostConfig":{"NetworkMode":"nosuch"}`, `{"HostConfig":{"NetworkMode":"nosuch"},"NetworkSettings":{"Networks":{"nosuch":{}}}}`),
	creates("another container's network", `"HostConfig":{"NetworkMode":"container:$UP"}`, `{"HostConfig":{"NetworkMode":"/^container:[0-9a-f]{64}$/"},"NetworkSettings":{"Networks":{}}}`),
	creates("names and addresses", `"HostConfig":{"Dns":["1.1.1.1"],"DnsSearch":["example.org"],"DnsOptions":["ndots:2"],"ExtraHosts":["a:1.2.3.4","b:host-gateway","c:::1"]}`,
		`{"HostConfig":{"Dns":["1.1.1.1"],"DnsSearch":["example.org"],"DnsOptions":["ndots:2"],"ExtraHosts":["a:1.2.3.4","b:host-gateway","c:::1"]}}`),
	creates("labels with odd keys", `"Labels":{"":"x","a.b/c":"","ü":"\u0001"}`, `{"Config":{"Labels":{"":"x","a.b/c":"","ü":"\u0001"}}}`),
	creates("characters that HTML escapes", `"Env":["A=<&>"]`, `{"Config":{"Env":["A=<&>","IMAGE_ENV=from-image"]}}`),
	creates("a restart policy", `"HostConfig":{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3}}`, `{"HostConfig":{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3}}}`),
	creates("the size of the terminal", `"Tty":true,"HostConfig":{"ConsoleSize":[24,80]}`, `{"HostConfig":{"ConsoleSize":[24,80]}}`),
	creates("an empty host configuration has Docker's defaults", `"HostConfig":{}`, `{"HostConfig":{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"json-file","Config":{}},"NetworkMode":"bridge",
		"RestartPolicy":{"Name":"no","MaximumRetryCount":0},"AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,"ConsoleSize":[0,0],"CapAdd":null,"CapDrop":null,"CgroupnsMode":"/^(host|private)$/",
		"Dns":null,"DnsOptions":null,"DnsSearch":null,"ExtraHosts":null,"GroupAdd":null,"IpcMode":"private","Cgroup":"","Links":null,"OomScoreAdj":0,"PidMode":"","Privileged":false,
		"PublishAllPorts":false,"ReadonlyRootfs":false,"SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":67108864,"Runtime":"<string>","Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,
		"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":null,"BlkioDeviceReadBps":null,"BlkioDeviceWriteBps":null,"BlkioDeviceReadIOps":null,"BlkioDeviceWriteIOps":null,"CpuPeriod":0,"CpuQuota":0,
		"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","Devices":null,"DeviceCgroupRules":null,"DeviceRequests":null,"MemoryReservation":0,"MemorySwap":0,"MemorySwappiness":null,
		"PidsLimit":null,"Ulimits":null,"CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,"IOMaximumBandwidth":0,"MaskedPaths":"<list>","ReadonlyPaths":"<list>"}}`),
	{
		name: "create: a platform warning is not given for the host's own", call: `POST /containers/create?name=$N {"Image":"$IMG"}`, status: 201, body: `{"Warnings":[]}`,
	},
	{
		name: "create: ports on the host's network", call: `POST /containers/create?name=$N {"Image":"$IMG","HostConfig":{"NetworkMode":"host","PortBindings":{"80/tcp":[{"HostPort":"8080"}]}}}`,
		status: 201, body: `{"Warnings":["Published ports are discarded when using host network mode"]}`,
	},
}

var apiCreateRefused = []apiCase{
	refusesCreate("a command that is no list", `"Cmd":5`, `/^invalid JSON: json: cannot unmarshal number into /`),
	sinceVersion("1.52", refusesCreate("a command that is a string", `"Cmd":"ls -l"`, `invalid JSON: json: cannot unmarshal string into Go struct field CreateRequest.Config.Cmd of type []string`)),
	refusesCreate("an environment that is an object", `"Env":{"A":"1"}`, `/^invalid JSON: json: cannot unmarshal object into Go struct field .*Env of type \[\]string$/`),
	refusesCreate("labels that are a list", `"Labels":["a"]`, `/^invalid JSON: json: cannot unmarshal array into Go struct field .*Labels of type map\[string\]string$/`),
	refusesCreate("a label that is a number", `"Labels":{"a":1}`, `/^invalid JSON: json: cannot unmarshal number into Go struct field .* of type string$/`),
	refusesCreate("a flag that is a string", `"Tty":"true"`, `/^invalid JSON: json: cannot unmarshal string into Go struct field .*Tty of type bool$/`),
	refusesCreate("a host configuration that is a list", `"HostConfig":[]`, `/^invalid JSON: json: cannot unmarshal array into Go struct field .*HostConfig of type container.HostConfig$/`),
	refusesCreate("memory with a unit", `"HostConfig":{"Memory":"64m"}`, `/^invalid JSON: json: cannot unmarshal string into Go struct field .*Memory of type int64$/`),
	refusesCreate("memory with a fraction", `"HostConfig":{"Memory":1.5}`, `/^invalid JSON: json: cannot unmarshal number 1.5 into Go struct field .*Memory of type int64$/`),
	refusesCreate("memory that no number holds", `"HostConfig":{"Memory":99999999999999999999}`, `/^invalid JSON: json: cannot unmarshal number 99999999999999999999 into .* of type int64$/`),
	refusesCreate("a size of the terminal of three", `"HostConfig":{"ConsoleSize":"24x80"}`, `/^invalid JSON: json: cannot unmarshal string into .*ConsoleSize of type \[2\]uint$/`),
	refusesCreate("bindings that are an object", `"HostConfig":{"PortBindings":{"80/tcp":{}}}`, `/^invalid JSON: json: cannot unmarshal object into Go struct field .*PortBindings/`),
	refusesCreate("endpoints that are a list", `"NetworkingConfig":{"EndpointsConfig":[]}`, `/^invalid JSON: json: cannot unmarshal array into Go struct field .*EndpointsConfig of type/`),
	sinceVersion("1.52", refusesCreate("an exposed port that is none", `"ExposedPorts":{"x/tcp":{}}`, `invalid JSON: invalid port 'x': invalid syntax`)),
	sinceVersion("1.52", refusesCreate("an exposed port that is too large", `"ExposedPorts":{"99999/tcp":{}}`, `invalid JSON: invalid port '99999': value out of range`)),
	refusesCreate("a host's port that is none", `"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"x"}]}}`, `invalid port specification: "x"`),
	refusesCreate("a host's port that is too large", `"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"70000"}]}}`, `invalid port specification: "70000"`),
	sinceVersion("1.52", refusesCreate("a host's address that is none", `"HostConfig":{"PortBindings":{"80/tcp":[{"HostIp":"x","HostPort":"8080"}]}}`, `invalid JSON: ParseAddr("x"): unable to parse IP`)),
	refusesCreate("a working folder that is not absolute", `"WorkingDir":"a/b"`, "the working directory 'a/b' is invalid, it needs to be an absolute path"),
	refusesCreate("a variable without a name", `"Env":["=x"]`, "invalid environment variable: =x"),
	refusesCreate("an empty variable", `"Env":[""]`, "invalid environment variable: "),
	refusesCreate("an unknown stop signal", `"StopSignal":"NOSUCH"`, "invalid signal: NOSUCH"),
	sinceVersion("1.52", refusesCreate("a long host name", `"Hostname":"a0123456789012345678901234567890123456789012345678901234567890123456789"`, "/./")),
	refusesCreate("another container's network and a host name", `"Hostname":"box","HostConfig":{"NetworkMode":"container:$UP"}`, "conflicting options: hostname and the network mode"),
	refusesCreate("another container's network and name servers", `"HostConfig":{"NetworkMode":"container:$UP","Dns":["1.1.1.1"]}`, "conflicting options: dns and the network mode"),
	refusesCreate("another container's network and hosts", `"HostConfig":{"NetworkMode":"container:$UP","ExtraHosts":["a:1.2.3.4"]}`, "conflicting options: custom host-to-IP mapping and the network mode"),
	refusesCreate("another container's network and published ports", `"HostConfig":{"NetworkMode":"container:$UP","PublishAllPorts":true}`, "conflicting options: port publishing and the container type network mode"),
	refusesCreate("another container's network and exposed ports", `"ExposedPorts":{"80/tcp":{}},"HostConfig":{"NetworkMode":"container:$UP"}`, "conflicting options: port exposing and the container type network mode"),
	refusesCreate("the network of no container", `"HostConfig":{"NetworkMode":"container:"}`, "/invalid container format container:<name|id>$/"),
	refusesCreate("the host's UTS namespace and a host name", `"Hostname":"box","HostConfig":{"UTSMode":"host"}`, "conflicting options: hostname and the UTS mode"),
	refusesCreate("an isolation of Windows", `"HostConfig":{"Isolation":"hyperv"}`, "/^invalid isolation/"),
	refusesCreate("hosts without an address", `"HostConfig":{"ExtraHosts":["a"]}`, `bad format for add-host: "a"`),
	refusesCreate("hosts with a bad address", `"HostConfig":{"ExtraHosts":["a:b"]}`, `invalid IP address in add-host: "b"`),
	refusesCreate("auto-remove with a restart policy", `"HostConfig":{"AutoRemove":true,"RestartPolicy":{"Name":"always"}}`, "can't create 'AutoRemove' container with restart policy"),
	refusesCreate("an unknown restart policy", `"HostConfig":{"RestartPolicy":{"Name":"sometimes"}}`, "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"),
	refusesCreate("a restart count without failures", `"HostConfig":{"RestartPolicy":{"Name":"always","MaximumRetryCount":3}}`, "invalid restart policy: maximum retry count can only be used with 'on-failure'"),
	refusesCreate("a bind that is not absolute", `"HostConfig":{"Binds":["a/b:/c"]}`, `/"a\/b" includes invalid characters for a local volume name/`),
	differing("bad binds", refusesCreate("a bind to a relative place", `"HostConfig":{"Binds":["/a:c"]}`, `/invalid mount path: 'c' mount path must be absolute/`)),
	differing("bad binds", refusesCreate("a bind to the root", `"HostConfig":{"Binds":["/a:/"]}`, `/destination can't be '\/'/`)),
	differing("bad binds", refusesCreate("a bind with a mode that nobody knows", `"HostConfig":{"Binds":["/a:/b:nosuch"]}`, `/invalid mode: nosuch/`)),
	refusesCreate("two mounts at one place", `"HostConfig":{"Binds":["/a:/b","/c:/b"]}`, `Duplicate mount point: /b`),
	refusesCreate("a mount of no type", `"HostConfig":{"Mounts":[{"Type":"nosuch","Target":"/a"}]}`, `/mount type unknown/`),
	refusesCreate("a mount without a target", `"HostConfig":{"Mounts":[{"Type":"volume"}]}`, `/field Target must not be empty/`),
	refusesCreate("a bind mount without its source", `"HostConfig":{"Mounts":[{"Type":"bind","Source":"$DIR/nosuch","Target":"/a"}]}`, `/bind source path does not exist: .*\/nosuch/`),
	refusesCreate("volume options of a bind", `"HostConfig":{"Mounts":[{"Type":"bind","Source":"/tmp","Target":"/a","VolumeOptions":{}}]}`, `VolumeOptions must not be specified on mount type "bind"`),
	refusesCreate("bind options of a volume", `"HostConfig":{"Mounts":[{"Type":"volume","Target":"/a","BindOptions":{}}]}`, `BindOptions must not be specified on mount type "volume"`),
	refusesCreate("tmpfs options of a volume", `"HostConfig":{"Mounts":[{"Type":"volume","Target":"/a","TmpfsOptions":{}}]}`, `TmpfsOptions must not be specified on mount type "volume"`),
	refusesCreate("volumes of no container", `"HostConfig":{"VolumesFrom":["nosuch"]}`, "/No such container: nosuch/"),
	refusesCreate("a MAC address that is none", `"NetworkingConfig":{"EndpointsConfig":{"bridge":{"MacAddress":"x"}}}`, "/./"),
}

var apiCreateVersions = []apiCase{
	{name: "create 1.39: IPC is shareable", call: `POST /v1.39/containers/create?name=$N {"Image":"$IMG"}`, status: 201, after: []step{{call: `GET /containers/$N/json`, body: `{"HostConfig":{"IpcMode":"shareable"}}`}},
		since: "1.52", differs: "oldest API version"},
	{name: "create 1.40: all capabilities are refused", call: `POST /v1.40/containers/create?name=$N {"Image":"$IMG","HostConfig":{"Capabilities":["CAP_CHOWN"]}}`, status: 400,
		message: "the HostConfig.Capabilities field is not supported by this daemon; use CapAdd and CapDrop to set capabilities", since: "1.53"},
	{name: "create 1.41: no size of the terminal", call: `POST /v1.41/containers/create?name=$N {"Image":"$IMG","HostConfig":{"ConsoleSize":[24,80]}}`, status: 201,
		after: []step{{call: `GET /containers/$N/json`, body: `{"HostConfig":{"ConsoleSize":[0,0]}}`}}},
	{name: "create 1.41: options of another type of mount", call: `POST /v1.41/containers/create?name=$N {"Image":"$IMG","HostConfig":{"Mounts":[{"Type":"bind","Source":"$DIR","Target":"/a","VolumeOptions":{"NoCopy":true}}]}}`,
		status: 400, message: `invalid mount config for type "bind": field VolumeOptions must not be specified`},
	{name: "create 1.42: no annotations", call: `POST /v1.42/containers/create?name=$N {"Image":"$IMG","HostConfig":{"Annotations":{"a":"b"}}}`, status: 201,
		after: []step{{call: `GET /containers/$N/json`, body: `{"HostConfig":{"Annotations":"<absent>"}}`}}},
	{name: "create 1.43: annotations", call: `POST /v1.43/containers/create?name=$N {"Image":"$IMG","HostConfig":{"Annotations":{"a":"b"}}}`, status: 201,
		after: []step{{call: `GET /containers/$N/json`, body: `{"HostConfig":{"Annotations":{"a":"b"}}}`}}},
	{name: "create 1.43: one network only", call: `POST /v1.43/containers/create?name=$N {"Image":"$IMG","NetworkingConfig":{"EndpointsConfig":{"bridge":{},"none":{}}}}`, status: 400,
		message: `/^Container cannot be created with multiple network endpoints: (bridge, none|none, bridge)$/`},
	{name: "create 1.43: no interval of the start", call: `POST /v1.43/containers/create?name=$N {"Image":"$IMG","Healthcheck":{"Test":["CMD","true"],"Interval":1000000000,"StartInterval":1000000000}}`, status: 201,
		after: []step{{call: `GET /containers/$N/json`, body: `{"Config":{"Healthcheck":{"Test":["CMD","true"],"Interval":1000000000,"StartInterval":"<absent>"}}}`}}},
	{name: "create 1.43: the container's MAC address", call: `POST /v1.43/containers/create?name=$N {"Image":"$IMG","MacAddress":"02:42:ac:11:99:99"}`, status: 201, body: `{"Warnings":[]}`,
		after: []step{{call: `GET /v1.43/containers/$N/json`, body: `{"Config":{"MacAddress":"02:42:ac:11:99:99"}}`}}},
	{name: "create 1.43: a MAC address without a network", call: `POST /v1.43/containers/create?name=$N {"Image":"$IMG","MacAddress":"02:42:ac:11:99:99","HostConfig":{"NetworkMode":"host"}}`, status: 400,
		message: "conflicting options: mac-address and the network mode"},
	{name: "create 1.43: an endpoint's MAC address is not known", call: `POST /v1.43/containers/create?name=$N {"Image":"$IMG","NetworkingConfig":{"EndpointsConfig":{"bridge":{"MacAddress":"02:42:ac:11:99:98"}}}}`, status: 201,
		after: []step{{call: `GET /v1.43/containers/$N/json`, body: `{"Config":{"MacAddress":"<absent>"}}`}}},
	{name: "create 1.44: the container's MAC address", call: `POST /v1.44/containers/create?name=$N {"Image":"$IMG","MacAddress":"02:42:ac:11:99:97"}`, status: 201,
		body:  `{"Warnings":["The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."]}`,
		after: []step{{call: `GET /v1.44/containers/$N/json`, body: `{"Config":{"MacAddress":"02:42:ac:11:99:97"}}`}}},
	{name: "create 1.44: two MAC addresses", status: 400, message: "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty",
		call: `POST /v1.44/containers/create?name=$N {"Image":"$IMG","MacAddress":"02:42:ac:11:99:96","HostConfig":{"NetworkMode":"bridge"},"NetworkingConfig":{"EndpointsConfig":{"bridge":{"MacAddress":"02:42:ac:11:99:95"}}}}`},
	{name: "create 1.52: the container's MAC address is not known any more", call: `POST /v1.52/containers/create?name=$N {"Image":"$IMG","MacAddress":"02:42:ac:11:99:94"}`, status: 201, since: "1.52",
		body: `{"Warnings":[]}`},
	{name: "create 1.44: a part of a volume", call: `POST /v1.44/containers/create?name=$N {"Image":"$IMG","HostConfig":{"Mounts":[{"Type":"volume","Source":"$N","Target":"/a","VolumeOptions":{"Subpath":"x"}}]}}`, status: 400,
		message: "VolumeOptions.Subpath needs API v1.45 or newer"},
	{name: "create 1.43: recursive read-only", status: 400, message: "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer",
		call: `POST /v1.43/containers/create?name=$N {"Image":"$IMG","HostConfig":{"Mounts":[{"Type":"bind","Source":"$DIR","Target":"/a","ReadOnly":true,"BindOptions":{"ReadOnlyForceRecursive":true}}]}}`},
	{name: "create 1.47: an image as a mount", call: `POST /v1.47/containers/create?name=$N {"Image":"$IMG","HostConfig":{"Mounts":[{"Type":"image","Source":"$IMG","Target":"/a"}]}}`, status: 400,
		message: `Mount type "Image" needs API v1.48 or newer`},
	{name: "create 1.48: the volume driver of mounts", status: 201,
		call: `POST /v1.48/containers/create?name=$N {"Image":"$IMG","HostConfig":{"VolumeDriver":"local","Mounts":[{"Type":"volume","Source":"$N","Target":"/a"}]}}`,
		body: `{"Warnings":["WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead"]}`},
	{name: "create 1.51: a port bound to nothing", call: `POST /v1.51/containers/create?name=$N {"Image":"$IMG","HostConfig":{"PortBindings":{"80/tcp":[]}}}`, status: 201, body: `{"Warnings":[]}`},
	{name: "create 1.52: a port bound to nothing", call: `POST /v1.52/containers/create?name=$N {"Image":"$IMG","HostConfig":{"PortBindings":{"80/tcp":[]}}}`, status: 201, since: "1.52",
		body:  `{"Warnings":["Following container port(s) have an empty list of port-bindings: 80/tcp. Such bindings will be discarded in a future version."]}`,
		after: []step{{call: `GET /containers/$N/json`, body: `{"HostConfig":{"PortBindings":{"80/tcp":[{"HostIp":"","HostPort":""}]}}}`}}},
}

var apiInspectCases = []apiCase{
	{name: "inspect: no such container", call: `GET /containers/nosuch/json`, status: 404, message: "No such container: nosuch"},
	{
		name: "inspect: a running container", call: `GET /containers/$UP/json`, status: 200,
		body: `{"Id":"<id>","Created":"<time>","Name":"/$UP","Path":"sleep","Args":["100000"],"Image":"<id>","RestartCount":0,"Driver":"<string>","Platform":"linux","MountLabel":"","ProcessLabel":"",
			"AppArmorProfile":"","ExecIDs":null,"Mounts":[],"ResolvConfPath":"/^\\//","HostnamePath":"/^\\//","HostsPath":"/^\\//","LogPath":"/-json.log$/",
			"State":{"Status":"running","Running":true,"Paused":false,"Restarting":false,"OOMKilled":false,"Dead":false,"Pid":"<number>","ExitCode":0,"Error":"","StartedAt":"<time>","FinishedAt":"<zero time>","Health":"<absent>"},
			"SizeRw":"<absent>","SizeRootFs":"<absent>","HostConfig":{"Init":true}}`,
	},
	{
		name: "inspect: an ended container", call: `GET /containers/$EXITED/json`, status: 200,
		body: `{"State":{"Status":"exited","Running":false,"Pid":0,"ExitCode":3,"StartedAt":"<time>","FinishedAt":"<time>"},"LogPath":"/-json.log$/",
			"NetworkSettings":{"SandboxID":"","SandboxKey":"","Ports":{},"Networks":{"bridge":{"IPAddress":"","Gateway":"","MacAddress":"","IPPrefixLen":0,"EndpointID":"","IPAMConfig":null,"DNSNames":null}}}}`,
	},
	{
		name: "inspect: a container that never ran", call: `GET /containers/$CREATED/json`, status: 200,
		body: `{"State":{"Status":"created","Running":false,"Pid":0,"ExitCode":0,"StartedAt":"<zero time>","FinishedAt":"<zero time>"},"LogPath":"","ResolvConfPath":"","HostnamePath":"","HostsPath":"",
			"NetworkSettings":{"SandboxID":"","SandboxKey":"","Ports":{},"Networks":{"bridge":{"IPAddress":"","NetworkID":"","EndpointID":""}}}}`,
	},
	{name: "inspect: with sizes", call: `GET /containers/$EXITED/json?size=1`, status: 200, body: `{"SizeRw":"<number>","SizeRootFs":"<number>"}`},
	{name: "inspect: size=0", call: `GET /containers/$EXITED/json?size=0`, status: 200, body: `{"SizeRw":"<absent>","SizeRootFs":"<absent>"}`},
	{name: "inspect: a network of a running container", call: `GET /containers/$UP/json`, status: 200,
		body: `{"NetworkSettings":{"SandboxID":"<id>","SandboxKey":"/^\\//","Ports":{},"Networks":{"bridge":{"IPAMConfig":null,"Links":null,"Aliases":null,"MacAddress":"/^..:..:..:..:..:..$/","DriverOpts":null,
			"GwPriority":0,"NetworkID":"<id>","EndpointID":"<id>","Gateway":"/^[0-9.]+$/","IPAddress":"/^[0-9.]+$/","IPPrefixLen":16,"IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DNSNames":null}}}}`},
	{name: "inspect: the bridge's values once more until 1.51", call: `GET /v1.51/containers/$UP/json`, status: 200,
		body: `{"NetworkSettings":{"IPAddress":"/^[0-9.]+$/","Gateway":"/^[0-9.]+$/","IPPrefixLen":16,"MacAddress":"/^..:..:..:..:..:..$/","EndpointID":"<id>","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"IPv6Gateway":""}}`},
	{name: "inspect: the bridge's values no more from 1.52", call: `GET /v1.52/containers/$UP/json`, status: 200, since: "1.52",
		body:  `{"NetworkSettings":{"IPAddress":"<absent>","Gateway":"<absent>","MacAddress":"<absent>","EndpointID":"<absent>","Bridge":"<absent>"}}`,
		loose: []string{"GraphDriver", "Storage", "ImageManifestDescriptor"}},
	{name: "inspect: published and exposed ports", before: []string{
		`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["sleep","1000"],"ExposedPorts":{"53/udp":{},"80/tcp":{}},"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"28091"}]}}}`, `POST /containers/$N/start`},
		call: `GET /containers/$N/json`, status: 200, body: `{"NetworkSettings":{"Ports":{"53/udp":null,"80/tcp":["...",{"HostIp":"/^(0.0.0.0|127.0.0.1)$/","HostPort":"28091"}]}}}`},
	{name: "inspect: by the start of its ID", before: []string{`C=POST /containers/create?name=$N {"Image":"$IMG"}`}, call: `GET /containers/$C/json`, status: 200, body: `{"Id":"$C","Name":"/$N"}`},
	{name: "inspect: an ID in capital letters", call: `GET /containers/ABCDEF/json`, status: 404, message: "No such container: ABCDEF"},
	{name: "inspect: an exec that runs", before: []string{`E=POST /containers/$UP/exec {"Cmd":["sleep","1"]}`, `POST /exec/$E/start {"Detach":true}`},
		call: `GET /containers/$UP/json`, status: 200, body: `{"ExecIDs":["...","$E"]}`,
		after: []step{{call: `GET /exec/$E/json`, body: `{"Running":false}`, until: true}, {call: `GET /containers/$UP/json`, body: `{"ExecIDs":null}`, until: true}}},
	{name: "inspect: the old versions too", call: `GET /v1.44/containers/$UP/json`, status: 200, body: `{"Id":"<id>","ImageManifestDescriptor":"<absent>"}`},
}
