package acceptance

// pingHeader is on every ping.
var pingHeader = map[string]string{
	"Api-Version": `/^1\.\d+$/`, "Ostype": "linux", "Swarm": "inactive", "Docker-Experimental": "false",
	"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", "Content-Type": "text/plain; charset=utf-8",
}

// noManager is what all of the swarm answers.
const noManager = `This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`

// apiSystemCases are about the engine as a whole.
var apiSystemCases = []apiCase{
	{name: "ping", call: `GET //_ping`, status: 200, body: "OK", header: pingHeader},
	{name: "ping: with a version", call: `GET /_ping`, status: 200, body: "OK", header: pingHeader},
	{name: "ping: HEAD", call: `HEAD //_ping`, status: 200, body: "", header: pingHeader},
	{
		name: "version", call: `GET /version`, status: 200, loose: []string{"Components", "GitCommit", "BuildTime"},
		body: `{"Platform":{"Name":"<any>"},"Version":"<string>","ApiVersion":"<string>","MinAPIVersion":"<string>","Os":"linux","Arch":"<string>","KernelVersion":"<string>","GoVersion":"<string>"}`,
	},
	{
		name: "info", call: `GET /info`, status: 200,
		body: `{"ID":"<string>","Containers":"<number>","Images":"<number>","Driver":"overlay2","OSType":"linux","CgroupDriver":"cgroupfs","LoggingDriver":"json-file",` +
			`"IndexServerAddress":"https://index.docker.io/v1/","MemoryLimit":true,"PidsLimit":true,"NCPU":"<number>","MemTotal":"<number>","SystemTime":"<time>",` +
			`"RegistryConfig":{"IndexConfigs":{"docker.io":{"Name":"docker.io","Official":true,"Secure":true}}},"Swarm":{"LocalNodeState":"inactive"},"Isolation":"<any>"}`,
		loose: []string{"Runtimes", "Plugins", "Warnings", "DriverStatus", "RegistryConfig", "SecurityOptions", "Containerd", "FirewallBackend",
			"DiscoveredDevices", "ContainerdCommit", "RuncCommit", "InitCommit", "DefaultAddressPools", "CDISpecDirs", "KernelMemoryTCP"},
	},
	{
		name: "info: an old client", call: `GET /v1.24/info`, status: 200, since: "1.52",
		body: `{"BridgeNfIptables":"<bool>","RuncCommit":{"ID":"<string>","Expected":"<string>"},"RegistryConfig":{"AllowNondistributableArtifactsCIDRs":"<any>"}}`,
	},

	{name: "events: since after until", call: `GET /events?since=5&until=4`, status: 400, message: "`since` time (5) cannot be after `until` time (4)"},
	{name: "events: since is no time", call: `GET /events?since=x&until=4`, status: 400, since: "1.52",
		message: `invalid value for 'since': invalid timestamp "x": invalid seconds "x": invalid syntax`},
	{name: "events: filters are no JSON", call: `GET /events?until=1&filters=x`, status: 400, message: "/invalid (filter|character)/"},
	{name: "events: a filter that nobody knows", call: `GET /events?since=1&until=1&filters={"nosuch":["x"]}`, status: 200, body: ""},
	{name: "events: a time long past", call: `GET /events?until=1.5`, status: 200, body: "", header: map[string]string{"Content-Type": "application/json"}},

	{
		name: "df: all", call: `GET /v1.43/system/df`, status: 200,
		body:  `{"LayersSize":"<number>","Images":"<list>","Containers":"<list>","Volumes":"<list>"}`,
		loose: []string{"Containers", "Images", "Volumes", "BuildCache"}, since: "1.43",
	},
	{
		name: "df: two types", call: `GET /v1.43/system/df?type=volume&type=container`, status: 200, since: "1.52",
		body: `{"Volumes":"<list>","Containers":"<list>","Images":"<absent>","LayersSize":"<absent>","BuildCache":"<absent>"}`,
	},
	{name: "df: an unknown type", call: `GET /v1.43/system/df?type=nosuch`, status: 400, message: "unknown object type: nosuch", since: "1.43"},
	{
		name: "df: verbose", call: `GET /v1.52/system/df?verbose=1`, status: 200, since: "1.52",
		body: `{"Images":"<absent>","Containers":"<absent>","ImageUsage":{"TotalCount":"<number>","TotalSize":"<number>","Items":"<list>"},"ContainerUsage":{"TotalCount":"<number>"}}`,
	},
	{
		name: "df: neither verbose nor old", call: `GET /v1.52/system/df?type=image`, status: 200, since: "1.52",
		body: `{"Images":"<list>","LayersSize":"<number>","ImageUsage":{"TotalCount":"<number>"},"Containers":"<absent>","ContainerUsage":"<absent>"}`,
	},

	{name: "auth: no body", call: `POST /auth`, status: 400, message: "invalid X-Registry-Auth header: invalid JSON: EOF", since: "1.52"},
	{name: "auth: nobody there", call: `POST /auth {"username":"a","password":"b","serveraddress":"127.0.0.1:1"}`, status: 500, message: `/Get "https?:.*127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused/`},
	{name: "auth: no address", call: `POST /auth {"serveraddress":"%zz"}`, status: 400, message: `/unable to parse server address: parse .*invalid URL escape "%zz"/`, since: "1.40"},
	{name: "auth: an open registry", call: `POST /auth {"username":"a","password":"b","serveraddress":"$REG"}`, status: 200, body: `{"Status":"Login Succeeded"}`, loose: []string{"IdentityToken"}},

	{name: "swarm: inspect", call: `GET /swarm`, status: 503, message: noManager},
	{name: "swarm: leave", call: `POST /swarm/leave`, status: 503, message: "This node is not part of a swarm"},
	{name: "swarm: services", call: `GET /services`, status: 503, message: noManager},
	{name: "swarm: one service", call: `GET /services/x`, status: 503, message: noManager},
	{name: "swarm: make a service", call: `POST /services/create {"Name":"x"}`, status: 503, message: noManager},
	{name: "swarm: nodes", call: `GET /nodes`, status: 503, message: noManager},
	{name: "swarm: tasks", call: `GET /tasks`, status: 503, message: noManager},
	{name: "swarm: secrets", call: `GET /secrets`, status: 503, message: noManager},
	{name: "swarm: configs", call: `GET /configs`, status: 503, message: noManager},
	{name: "swarm: init", call: `POST /swarm/init {"ListenAddr":"nosuch:1:1"}`, status: 501, message: "naru has no swarm mode", differs: "swarm"},

	{name: "plugins: list", call: `GET /plugins`, status: 200, body: `[]`},
	{name: "plugins: install", call: `GET /plugins/privileges?remote=127.0.0.1:1/nosuch`, status: 501, message: "naru has no plugins", differs: "plugins"},
	{name: "plugins: no such", call: `GET /plugins/nosuch/json`, status: 404, message: `plugin "nosuch" not found`},
	{name: "plugins: remove one that is not there", call: `DELETE /plugins/nosuch`, status: 404, message: `plugin "nosuch" not found`},
	{name: "plugins: enable one that is not there", call: `POST /plugins/nosuch/enable?timeout=1`, status: 404, message: `plugin "nosuch" not found`},
}
