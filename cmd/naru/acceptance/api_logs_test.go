package acceptance

// logged makes a container with log options that writes a line to each stream, and waits for its end.
func logged(config string) []string {
	return []string{
		`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["sh","-c","echo out; echo err >&2"],"Labels":{"k":"v"},"HostConfig":{"LogConfig":` + config + `}}`,
		`POST /containers/$N/start`, `POST /containers/$N/wait`,
	}
}

const upgraded = "application/vnd.docker.multiplexed-stream"

// apiLogCases are about logs, log drivers, attach and the streams of execs.
var apiLogCases = []apiCase{
	{
		name: "logs: no stream is chosen", call: `GET /containers/$EXITED/logs`, status: 400,
		message: "/must specify at least one of 'stdout' or 'stderr'|you must choose at least one stream/",
	},
	{name: "logs: no such container", call: `GET /containers/nosuch/logs?stdout=1`, status: 404, message: "No such container: nosuch"},
	{name: "logs: a wrong time", call: `GET /containers/$EXITED/logs?stdout=1&since=yesterday`, status: 400, message: `/^invalid value for "since": /`, since: "1.53"},
	{name: "logs: a wrong end", call: `GET /containers/$EXITED/logs?stdout=1&until=tomorrow`, status: 400, message: `/^invalid value for "until": /`, since: "1.53"},
	{
		name: "logs: frames", before: logged(`{}`), call: `GET /containers/$N/logs?stdout=1`, status: 200,
		body: "\x01\x00\x00\x00\x00\x00\x00\x04out\n", header: map[string]string{"Content-Type": upgraded},
	},
	{
		name: "logs: stderr alone", before: logged(`{}`), call: `GET /containers/$N/logs?stderr=true&stdout=0`, status: 200,
		body: "\x02\x00\x00\x00\x00\x00\x00\x04err\n",
	},
	{
		name: "logs: an older client", before: logged(`{}`), call: `GET /v1.41/containers/$N/logs?stdout=1`, status: 200,
		body: "\x01\x00\x00\x00\x00\x00\x00\x04out\n", header: map[string]string{"Content-Type": "application/vnd.docker.raw-stream"},
	},
	{
		name: "logs: a terminal is raw", before: []string{
			`POST /containers/create?name=$N {"Image":"$IMG","Tty":true,"Cmd":["echo","out"]}`, `POST /containers/$N/start`, `POST /containers/$N/wait`,
		},
		call: `GET /containers/$N/logs?stdout=1`, status: 200, body: "out\r\n", header: map[string]string{"Content-Type": "application/vnd.docker.raw-stream"},
	},
	{
		name: "logs: follow what has ended", before: logged(`{}`), call: `GET /containers/$N/logs?stdout=1&follow=1`, status: 200,
		body: "\x01\x00\x00\x00\x00\x00\x00\x04out\n",
	},
	{name: "logs: never started", call: `GET /containers/$CREATED/logs?stdout=1&stderr=1`, status: 200, body: "/^$/"},
	{
		name: "logs: details", before: logged(`{"Type":"json-file","Config":{"labels":"k","tag":"{{.Name}}"}}`),
		call: `GET /containers/$N/logs?stdout=1&details=1`, status: 200, body: "/k=v,tag=$N out\n$/",
	},
	{
		name: "logs: timestamps", before: logged(`{}`), call: `GET /containers/$N/logs?stdout=1&timestamps=1`, status: 200,
		body: `/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z out\n$/`,
	},
	{
		name: "logs: the driver local", before: logged(`{"Type":"local"}`), call: `GET /containers/$N/logs?stdout=1`, status: 200,
		body:  "\x01\x00\x00\x00\x00\x00\x00\x04out\n",
		after: []step{{call: `GET /containers/$N/json`, body: `{"LogPath":"","HostConfig":{"LogConfig":{"Type":"local","Config":{}}}}`}},
	},
	{
		name: "logs: the driver none", before: logged(`{"Type":"none"}`), call: `GET /containers/$N/logs?stdout=1`, status: 501,
		message: "configured logging driver does not support reading",
	},
	{
		name: "logs: as JSON", before: logged(`{}`), call: `GET /v1.54/containers/$N/logs?stdout=1&format=json`, status: 200, since: "1.54",
		body: `{"Line":"out\n","Source":"stdout","Timestamp":"<time>"}`, header: map[string]string{"Content-Type": "application/x-ndjson"},
	},
	{name: "logs: an unknown format", call: `GET /v1.54/containers/$EXITED/logs?stdout=1&format=xml`, status: 400, message: "unsupported log format", since: "1.54"},
	{
		name: "log options: unknown driver", call: `POST /containers/create?name=$N {"Image":"$IMG","HostConfig":{"LogConfig":{"Type":"nosuch"}}}`,
		status: 400, message: `/error looking up logging plugin nosuch: plugin "nosuch" not found$/`,
	},
	{
		name: "log options: a driver that sends the log away", call: `POST /containers/create?name=$N {"Image":"$IMG","HostConfig":{"LogConfig":{"Type":"syslog"}}}`,
		status: 400, message: "/^logger: no log driver named 'syslog' is registered/", differs: "log drivers",
	},
	{
		name: "log options: unknown", call: `POST /containers/create?name=$N {"Image":"$IMG","HostConfig":{"LogConfig":{"Type":"json-file","Config":{"x":"y"}}}}`,
		status: 400, message: "unknown log opt 'x' for json-file log driver",
	},
	{
		name: "log options: unknown of local", call: `POST /containers/create?name=$N {"Image":"$IMG","HostConfig":{"LogConfig":{"Type":"local","Config":{"x":"y"}}}}`,
		status: 400, message: "unknown log opt 'x' for log driver local",
	},
	{
		name: "log options: no such mode", call: `POST /containers/create?name=$N {"Image":"$IMG","HostConfig":{"LogConfig":{"Config":{"mode":"fast"}}}}`,
		status: 400, message: "logger: logging mode not supported: fast",
	},
	{
		name: "log options: a buffer without its mode", call: `POST /containers/create?name=$N {"Image":"$IMG","HostConfig":{"LogConfig":{"Config":{"max-buffer-size":"1m"}}}}`,
		status: 400, message: "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
	},
	{
		name: "log options: a wrong size", call: `POST /containers/create?name=$N {"Image":"$IMG","HostConfig":{"LogConfig":{"Type":"json-file","Config":{"max-size":"big"}}}}`,
		status: 400, message: "invalid size: 'big'", differs: "log-options-early",
	},
	{
		name: "attach: no such container", call: `POST /containers/nosuch/attach?stream=1`, status: 404, message: "/No such container: nosuch/", differs: "attach-errors",
	},
	{
		name: "attach: wrong keys", call: `POST /containers/$UP/attach?stream=1&detachKeys=ctrl-1`, status: 400,
		message: "Invalid detach keys (ctrl-1) provided", differs: "attach-errors",
	},
	{
		name: "attach: paused", before: []string{
			`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["sleep","1000"]}`, `POST /containers/$N/start`, `POST /containers/$N/pause`,
		},
		call: `POST /containers/$N/attach?stream=1&stdout=1`, status: 409, message: "container $N is paused, unpause the container before attach", differs: "attach-errors",
	},
	{
		name: "attach: the log alone", before: logged(`{}`), call: `POST /containers/$N/attach?logs=1&stdout=1&stderr=1`, stream: pointer(""),
		status: 101, body: "/1:out\n2:err\n|2:err\n1:out\n/", header: map[string]string{"Content-Type": upgraded, "Connection": "Upgrade", "Upgrade": "tcp"},
	},
	{
		name: "attach: no log to show", before: logged(`{"Type":"none"}`), call: `POST /containers/$N/attach?logs=1&stdout=1`, stream: pointer(""),
		status: 101, body: "/^1:Error attaching: .*\n$/",
	},
	{
		name: "attach: without an upgrade", before: logged(`{}`), call: `POST /containers/$N/attach?logs=1&stdout=1`, stream: pointer(""),
		head:   map[string]string{"Upgrade": "<absent>", "Connection": "<absent>"},
		status: 200, body: "1:out\n", header: map[string]string{"Content-Type": "application/vnd.docker.raw-stream"},
	},
	{
		name: "exec: wrong keys", call: `POST /containers/$UP/exec {"Cmd":["true"],"DetachKeys":"ctrl-1"}`, status: 400,
		message: "Invalid escape keys (ctrl-1) provided", differs: "exec-keys",
	},
	{
		name: "exec: again", before: []string{`E=POST /containers/$UP/exec {"Cmd":["true"]}`, `POST /exec/$E/start {"Detach":true}`},
		call: `POST /exec/$E/start {"Detach":true}`, status: 409, message: "/[Ee]xec command .* (has already run|is already running)/",
	},
	{
		name: "exec: a terminal for a client that has none", before: []string{`E=POST /containers/$UP/exec {"Cmd":["echo","hi"],"AttachStdout":true,"Tty":true}`},
		call: `POST /exec/$E/start {"Tty":false}`, stream: pointer(""), status: 101, body: "1:hi\r\n", header: map[string]string{"Content-Type": upgraded},
	},
	{
		name: "exec: a client with a terminal", before: []string{`E=POST /containers/$UP/exec {"Cmd":["sh","-c","echo hi; echo err >&2"],"AttachStdout":true}`},
		call: `POST /exec/$E/start {"Tty":true}`, stream: pointer(""), status: 101, body: "hi\n", header: map[string]string{"Content-Type": "application/vnd.docker.raw-stream"},
	},
}
