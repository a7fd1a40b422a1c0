package acceptance

// apiLookCases are about what goes on inside a container: health checks, processes, statistics and execs.
var apiLookCases = []apiCase{
	{
		name: "health: inspect", before: checkedBy(`{"Test":["CMD-SHELL","echo fine"],"Interval":100000000}`),
		call: `GET /containers/$N/json`, status: 200, body: `{"State":{"Health":{"Status":"<string>","FailingStreak":0,"Log":"<list>"}}}`,
		loose: []string{"HostConfig", "Config", "State.Health.Log"},
		after: []step{
			{call: `GET /containers/$N/json`, until: true, body: `{"State":{"Health":{"Status":"healthy"}}}`},
			{call: `GET /containers/json?filters={"name":["$N"],"health":["healthy"]}`, body: `[{"Names":["/$N"],"Status":"/^Up .* \\(healthy\\)$/"}]`},
		},
	},
	{
		name: "health: the log", before: append(checkedBy(`{"Test":["CMD","cat","/nosuch"],"Interval":100000000,"Retries":1}`), `POST /containers/$N/stop?t=0`),
		call: `GET /containers/$N/json`, status: 200, body: `{"State":{"Health":{"Status":"unhealthy","Log":"<list>"}}}`,
		loose: []string{"HostConfig", "Config", "State"},
	},
	{
		name: "health: NONE", before: checkedBy(`{"Test":["NONE"]}`), call: `GET /containers/$N/json`, status: 200,
		body: `{"State":{"Health":"<absent>"}}`, loose: []string{"HostConfig", "Config"},
	},
	{
		name:   "health: an interval below a millisecond",
		call:   `POST /containers/create?name=$N {"Image":"$IMG","Healthcheck":{"Test":["CMD","true"],"Interval":1000}}`,
		status: 400, message: "Interval in Healthcheck cannot be less than 1ms",
	},
	{
		name:   "health: negative retries",
		call:   `POST /containers/create?name=$N {"Image":"$IMG","Healthcheck":{"Test":["CMD","true"],"Retries":-1}}`,
		status: 400, message: "Retries in Healthcheck cannot be negative",
	},
	{
		name: "health: a filter that is none", call: `GET /containers/json?filters={"health":["well"]}`,
		status: 400, message: "/invalid filter 'health=well'/", since: "1.50",
	},
	{
		name: "top: as it is", call: `GET /containers/$UP/top`, status: 200,
		body: `{"Titles":["UID","PID","PPID","C","STIME","TTY","TIME","CMD"],"Processes":[["root","/^[0-9]+$/","/^[0-9]+$/","/^[0-9]+$/","<string>","?","/^00:00:/","/docker-init /"],["root","/^[0-9]+$/","/^[0-9]+$/","/^[0-9]+$/","<string>","?","/^00:00:/","/^sleep /"]]}`,
	},
	{
		name: "top: aux", call: `GET /containers/$UP/top?ps_args=aux`, status: 200,
		body: `{"Titles":["USER","PID","%CPU","%MEM","VSZ","RSS","TTY","STAT","START","TIME","COMMAND"],"Processes":[["root","/^[0-9]+$/","/^[0-9.]+$/","0.0","/^[0-9]+$/","/^[0-9]+$/","?","Ss","<string>","/^0:/","/docker-init /"],
			["root","/^[0-9]+$/","/^[0-9.]+$/","0.0","/^[0-9]+$/","/^[0-9]+$/","?","S","<string>","/^0:/","/^sleep /"]]}`,
	},
	{
		name: "top: chosen columns", call: `GET /containers/$UP/top?ps_args=-eo+pid,comm`, status: 200,
		body: `{"Titles":["PID","COMMAND"],"Processes":[["/^[0-9]+$/","docker-init"],["/^[0-9]+$/","sleep"]]}`,
	},
	{
		name: "top: an unknown column", call: `GET /containers/$UP/top?ps_args=-o+pid,nope`, status: 500,
		message: `/ps: error: unknown user-defined format specifier "nope"/`,
	},
	{name: "top: no PID", call: `GET /containers/$UP/top?ps_args=-o+comm`, status: 500, message: "Couldn't find PID field in ps output"},
	{name: "top: not running", call: `GET /containers/$EXITED/top`, status: 409, message: "/^container [0-9a-f]{64} is not running$/"},
	{name: "top: no such container", call: `GET /containers/nosuch/top`, status: 404, message: "No such container: nosuch"},
	{
		name: "stats: one shot", call: `GET /containers/$UP/stats?stream=0&one-shot=1`, status: 200, header: map[string]string{"Content-Type": "application/json"},
		body: `{"read":"<time>","preread":"<zero time>","cpu_stats":{"cpu_usage":{"total_usage":"<number>"},"system_cpu_usage":"<number>","online_cpus":"<number>"},
			"memory_stats":{"usage":"<number>","limit":"<number>","stats":"<object>"},"pids_stats":{"current":2}}`,
		loose: []string{"id", "name", "os_type", "networks", "cpu_stats.cpu_usage.percpu_usage", "precpu_stats.cpu_usage.percpu_usage", "memory_stats.max_usage", "memory_stats.stats", "memory_stats.failcnt", "pids_stats.limit", "blkio_stats"},
	},
	{
		name: "stats: with the sample before", call: `GET /containers/$UP/stats?stream=0`, status: 200,
		body:  `{"read":"<time>","preread":"<time>","precpu_stats":{"system_cpu_usage":"<number>","online_cpus":"<number>"}}`,
		loose: []string{"id", "name", "os_type", "networks", "cpu_stats.cpu_usage.percpu_usage", "precpu_stats.cpu_usage.percpu_usage", "memory_stats.max_usage", "memory_stats.stats", "memory_stats.failcnt", "pids_stats.limit", "blkio_stats"},
	},
	{
		name: "stats: not running", call: `GET /containers/$EXITED/stats?stream=0`, status: 200,
		body: `{"id":"<id>","name":"/$EXITED","read":"<zero time>","cpu_stats":{"cpu_usage":{"total_usage":0}}}`, loose: []string{"os_type"},
	},
	{name: "stats: no such container", call: `GET /containers/nosuch/stats?stream=0`, status: 404, message: "No such container: nosuch"},
	{name: "exec: no command", call: `POST /containers/$UP/exec {}`, status: 400, message: "No exec command specified"},
	{name: "exec: no such container", call: `POST /containers/nosuch/exec {"Cmd":["true"]}`, status: 404, message: "No such container: nosuch"},
	{name: "exec: not running", call: `POST /containers/$EXITED/exec {"Cmd":["true"]}`, status: 409, message: "/^container [0-9a-f]{64} is not running$/"},
	{
		name: "exec: no such user", call: `POST /containers/$UP/exec {"Cmd":["true"],"User":"nosuch"}`, status: 400,
		message: "unable to find user nosuch: no matching entries in passwd file", since: "1.48",
	},
	{
		name: "exec: paused", before: append(checkedBy(`null`), `POST /containers/$N/pause`), call: `POST /containers/$N/exec {"Cmd":["true"]}`,
		status: 409, message: "/^Container .* is paused, unpause the container before exec$/", after: []step{{call: `POST /containers/$N/unpause`}},
	},
	{name: "exec: start of none", call: `POST /exec/nosuch/start {}`, status: 404, message: "No such exec instance: nosuch"},
	{name: "exec: inspect of none", call: `GET /exec/nosuch/json`, status: 404, message: "No such exec instance: nosuch"},
	{
		name:   "exec: inspect",
		before: []string{`E=POST /containers/$UP/exec {"Cmd":["sh","-c","exit 3"],"User":"1:2","Privileged":true,"DetachKeys":"ctrl-a"}`},
		call:   `GET /exec/$E/json`, status: 200,
		body: `{"ID":"<id>","Running":false,"ExitCode":null,"ProcessConfig":{"tty":false,"entrypoint":"sh","arguments":["-c","exit 3"],"privileged":true,"user":"1:2"},
			"OpenStdin":false,"OpenStderr":false,"OpenStdout":false,"CanRemove":false,"ContainerID":"<id>","DetachKeys":"AQ==","Pid":0}`,
		after: []step{
			{call: `GET /containers/$UP/json`, body: `{"ExecIDs":"<list>"}`}, {call: `POST /exec/$E/start {"Detach":true}`, status: 200},
			{call: `GET /exec/$E/json`, until: true, body: `{"Running":false,"ExitCode":3,"CanRemove":false}`},
		},
	},
	{
		name: "exec: detached, a command that is not there", before: []string{`E=POST /containers/$UP/exec {"Cmd":["nosuch"]}`},
		call: `POST /exec/$E/start {"Detach":true}`, status: 400, message: `/exec: "nosuch": executable file not found in \$PATH/`,
		after: []step{{call: `GET /exec/$E/json`, body: `{"Running":false,"ExitCode":127}`}},
	},
	{
		name: "exec: detached, twice", before: []string{`E=POST /containers/$UP/exec {"Cmd":["true"]}`, `POST /exec/$E/start {"Detach":true}`},
		call: `POST /exec/$E/start {"Detach":true}`, status: 409, message: "/(?i)exec command [0-9a-f]{64} (has already run|is already running)$/",
	},
	{
		name: "exec: environment, user and folder", stream: pointer(""), status: 101, body: "1:b 33 /etc\n",
		before: []string{`E=POST /containers/$UP/exec {"Cmd":["sh","-c","echo $A $(id -u) $PWD"],"Env":["A=b"],"User":"www-data","WorkingDir":"/etc","AttachStdout":true}`},
		call:   `POST /exec/$E/start {}`,
	},
	{
		name: "exec: privileged", stream: pointer(""), status: 101, body: "/1:CapEff:\t[0-9a-f]*ff[0-9a-f]*ff\n/",
		before: []string{`E=POST /containers/$UP/exec {"Cmd":["grep","CapEff","/proc/self/status"],"Privileged":true,"AttachStdout":true}`},
		call:   `POST /exec/$E/start {}`,
	},
	{
		name: "exec: the size of its terminal", stream: pointer(""), status: 101, body: "33 44\r\n",
		before: []string{`E=POST /containers/$UP/exec {"Cmd":["sh","-c","until stty size | grep -v ^0; do :; done"],"Tty":true,"ConsoleSize":[33,44],"AttachStdout":true}`},
		call:   `POST /exec/$E/start {"Tty":true}`,
	},
}

// checkedBy makes a container with a health check and starts it.
func checkedBy(check string) []string {
	return []string{
		`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["sleep","1000"],"StopSignal":"KILL","Healthcheck":` + check + `}`,
		`POST /containers/$N/start`,
	}
}
