package acceptance

// apiContainerCases are about making, showing and listing containers.
var apiContainerCases = []apiCase{
	{
		name: "create: the smallest body", call: `POST /containers/create?name=$N {"Image":"$IMG"}`,
		status: 201, body: `{"Id":"<id>","Warnings":[]}`,
		after: []step{{call: `GET /containers/$N/json`, body: `{"Name":"/$N","State":{"Status":"created"}}`}}, loose: []string{"HostConfig", "Config"},
	},
	{
		name: "create: the image is not there", call: `POST /containers/create {"Image":"nosuch:1"}`,
		status: 404, message: "No such image: nosuch:1",
	},
	{
		name: "inspect: no such container", call: `GET /containers/nosuch/json`, status: 404, message: "No such container: nosuch",
	},
	{
		name: "inspect: a running container", call: `GET /containers/$UP/json`, status: 200,
		body:  `{"Id":"<id>","Created":"<time>","Name":"/$UP","State":{"Status":"running","Running":true,"StartedAt":"<time>","FinishedAt":"<zero time>","Pid":"<number>"}}`,
		loose: []string{"HostConfig", "Config"},
	},
	{
		name: "exec: a stream", before: []string{`E=POST /containers/$UP/exec {"Cmd":["sh","-c","cat; echo err >&2; exit 5"],"AttachStdin":true,"AttachStdout":true,"AttachStderr":true}`},
		call: `POST /exec/$E/start {"Detach":false}`, stream: pointer("in\n"),
		status: 101, body: "1:in\n2:err\n", header: map[string]string{"Content-Type": "application/vnd.docker.multiplexed-stream"},
		after: []step{{call: `GET /exec/$E/json`, body: `{"ExitCode":5,"Running":false}`, until: true}},
	},
}
