package acceptance

import "fmt"

// created and started are requests that make a container of the case's own, which sleeps.
var (
	created = []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["sleep","1000"]}`}
	started = append(created[:1:1], `POST /containers/$N/start`)
	paused  = append(started[:2:2], `POST /containers/$N/pause`)
)

// failing is a container that ends at once with exit code 5, and is run with a restart policy.
func failing(policy string) []string {
	return []string{
		fmt.Sprintf(`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["sh","-c","exit 5"],"HostConfig":{"RestartPolicy":%s}}`, policy),
		`POST /containers/$N/start`,
	}
}

// state is a step that waits until inspect tells this of the container's state.
func state(pattern string) step {
	return step{call: `GET /containers/$N/json`, status: 200, body: `{"State":` + pattern + `}`, until: true}
}

// apiLifecycleCases are about the states of a container and what leads from one to another.
var apiLifecycleCases = withoutInspect([]apiCase{
	// start
	{name: "start: what runs already", call: `POST /containers/$UP/start`, status: 304},
	{name: "start: no such container", call: `POST /containers/nosuch/start`, status: 404, message: "No such container: nosuch"},
	{
		name: "start: what is paused", before: paused, call: `POST /containers/$N/start`,
		status: 409, message: "cannot start a paused container, try unpause instead",
	},
	{
		name: "start: no such program", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["nosuch"]}`}, call: `POST /containers/$N/start`,
		status: 400, message: `/exec: "nosuch": executable file not found in \$PATH/`,
		after: []step{state(`{"Status":"created","ExitCode":127,"Running":false,"StartedAt":"<zero time>"}`)},
	},
	{name: "start: again", before: append(started[:2:2], `POST /containers/$N/kill`), call: `POST /containers/$N/start`, status: 204, after: []step{state(`{"Status":"running","ExitCode":0}`)}},

	// stop
	{name: "stop: what does not run", call: `POST /containers/$EXITED/stop`, status: 304},
	{name: "stop: what never ran", call: `POST /containers/$CREATED/stop`, status: 304},
	{name: "stop: no such container", call: `POST /containers/nosuch/stop`, status: 404, message: "No such container: nosuch"},
	{name: "stop: a timeout that is no number", call: `POST /containers/$UP/stop?t=x`, status: 400, message: `strconv.Atoi: parsing "x": invalid syntax`, since: "1.53"},
	{name: "stop: killed in the end", before: started, call: `POST /containers/$N/stop?t=0`, status: 204, after: []step{state(`{"Status":"exited","ExitCode":137,"Pid":0,"Running":false,"FinishedAt":"<time>"}`)}},
	{name: "stop: with a signal", before: started, call: `POST /containers/$N/stop?t=1&signal=KILL`, status: 204, after: []step{state(`{"Status":"exited","ExitCode":137}`)}},
	{name: "stop: no such signal", call: `POST /containers/$UP/stop?signal=NOPE`, status: 400, message: "cannot stop container: $UP: invalid signal: NOPE", differs: "bad stop signal"},
	{name: "restart: no such signal", call: `POST /containers/$UP/restart?signal=NOPE`, status: 400, message: "Cannot restart container $UP: invalid signal: NOPE", differs: "bad stop signal"},
	{name: "restart: a timeout that is no number", call: `POST /containers/$UP/restart?t=x`, status: 400, message: `strconv.Atoi: parsing "x": invalid syntax`, differs: "bad stop signal"},
	{name: "stop: what is paused", before: paused, call: `POST /containers/$N/stop?t=0`, status: 204, after: []step{state(`{"Status":"exited","Paused":false}`)}},

	// kill
	{name: "kill: what does not run", call: `POST /containers/$EXITED/kill`, status: 409, message: `/^cannot kill container: $EXITED: container [0-9a-f]{64} is not running$/`},
	{name: "kill: no such container", call: `POST /containers/nosuch/kill`, status: 404, message: "cannot kill container: nosuch: No such container: nosuch"},
	{name: "kill: no such signal", call: `POST /containers/$UP/kill?signal=NOPE`, status: 400, message: "cannot kill container: $UP: invalid signal: NOPE"},
	{name: "kill: signal 0", call: `POST /containers/$UP/kill?signal=0`, status: 400, message: "cannot kill container: $UP: invalid signal: 0"},
	{name: "kill: a signal that Linux has not", call: `POST /containers/$UP/kill?signal=65`, status: 400, message: "cannot kill container: $UP: the linux daemon does not support signal 65"},
	{name: "kill: by default", before: started, call: `POST /containers/$N/kill`, status: 204, after: []step{state(`{"Status":"exited","ExitCode":137}`)}},
	{name: "kill: by name", before: started, call: `POST /containers/$N/kill?signal=sigkill`, status: 204, after: []step{state(`{"Status":"exited","ExitCode":137}`)}},
	{name: "kill: by number", before: started, call: `POST /containers/$N/kill?signal=9`, status: 204, after: []step{state(`{"Status":"exited","ExitCode":137}`)}},
	{name: "kill: what is paused", before: paused, call: `POST /containers/$N/kill`, status: 204, after: []step{state(`{"Status":"exited","ExitCode":137}`)}},
	{name: "kill: what is paused, gently", before: paused, call: `POST /containers/$N/kill?signal=WINCH`, status: 204, after: []step{state(`{"Status":"running","Paused":false}`)}},
	{
		name: "kill: a signal that is not the stop signal leaves a paused container paused",
		before: []string{
			`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["sleep","1000"],"StopSignal":"SIGUSR1"}`, `POST /containers/$N/start`, `POST /containers/$N/pause`,
		},
		call: `POST /containers/$N/kill?signal=WINCH`, status: 204, after: []step{state(`{"Status":"paused","Paused":true}`)},
	},

	// restart
	{name: "restart: what never ran", before: created, call: `POST /containers/$N/restart`, status: 204, after: []step{state(`{"Status":"running"}`)}},
	{name: "restart: what runs", before: started, call: `POST /containers/$N/restart?t=0`, status: 204, after: []step{state(`{"Status":"running","ExitCode":0,"FinishedAt":"<time>"}`)}},
	{name: "restart: what is paused", before: paused, call: `POST /containers/$N/restart?t=0`, status: 204, after: []step{state(`{"Status":"running","Paused":false}`)}},
	{name: "restart: no such container", call: `POST /containers/nosuch/restart`, status: 404, message: "No such container: nosuch"},
	{
		name: "restart: what is to be removed on exit stays", call: `POST /containers/$N/restart?t=0`, status: 204, after: []step{state(`{"Status":"running"}`)},
		before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["sleep","1000"],"HostConfig":{"AutoRemove":true}}`, `POST /containers/$N/start`},
	},

	// pause
	{name: "pause", before: started, call: `POST /containers/$N/pause`, status: 204, after: []step{
		{call: `GET /containers/$N/json`, status: 200, body: `{"State":{"Status":"paused","Running":true,"Paused":true,"Restarting":false,"Pid":"<number>"}}`},
		{call: `GET /containers/json?filters={"name":["^/$N$"],"status":["paused"]}`, status: 200, body: `[{"State":"paused","Status":"/^Up .* \\(Paused\\)$/"}]`},
	}},
	{name: "pause: what is paused", before: paused, call: `POST /containers/$N/pause`, status: 409, message: `/^[Cc]ontainer [0-9a-f]{64} is already paused$/`},
	{name: "pause: what does not run", call: `POST /containers/$EXITED/pause`, status: 409, message: `/^container [0-9a-f]{64} is not running$/`},
	{name: "pause: no such container", call: `POST /containers/nosuch/pause`, status: 404, message: "No such container: nosuch"},
	{name: "unpause", before: paused, call: `POST /containers/$N/unpause`, status: 204, after: []step{state(`{"Status":"running","Paused":false}`)}},
	{name: "unpause: what is not paused", call: `POST /containers/$UP/unpause`, status: 500, message: `/^Container [0-9a-f]{64} is not paused$/`},
	{name: "unpause: what does not run", call: `POST /containers/$EXITED/unpause`, status: 500, message: `/^Container [0-9a-f]{64} is not paused$/`},
	{name: "pause: no exec meanwhile", before: paused, call: `POST /containers/$N/exec {"Cmd":["true"]}`, status: 409, message: "Container $N is paused, unpause the container before exec"},

	// update
	{
		name: "update: limits of a running container", before: started,
		call:   `POST /containers/$N/update {"Memory":67108864,"MemorySwap":134217728,"CpuShares":512,"PidsLimit":50}`,
		status: 200,
		after:  []step{{call: `GET /containers/$N/json`, status: 200, body: `{"HostConfig":{"Memory":67108864,"MemorySwap":134217728,"CpuShares":512,"PidsLimit":50}}`}},
		loose:  []string{"Warnings"},
	},
	{
		name: "update: the restart policy", before: created, call: `POST /containers/$N/update {"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3}}`,
		status: 200, after: []step{{call: `GET /containers/$N/json`, status: 200, body: `{"HostConfig":{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3}}}`}},
		loose: []string{"Warnings"},
	},
	{name: "update: no limit of processes", before: created, call: `POST /containers/$N/update {"PidsLimit":-1}`, status: 200, after: []step{{call: `GET /containers/$N/json`, body: `{"HostConfig":{"PidsLimit":0}}`}}, loose: []string{"Warnings"}},
	{name: "update: nothing", before: created, call: `POST /containers/$N/update {}`, status: 200, loose: []string{"Warnings"}},
	{name: "update: no such container", call: `POST /containers/nosuch/update {"CpuShares":512}`, status: 404, message: "No such container: nosuch"},
	{name: "update: memory over the swap limit", before: created, call: `POST /containers/$N/update {"Memory":67108864}`, status: 409, message: `/^Cannot update container [0-9a-f]{64}: Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time$/`},
	{name: "update: too little memory", call: `POST /containers/$UP/update {"Memory":1024}`, status: 400, message: "Minimum memory limit allowed is 6MB"},
	{name: "update: swap below memory", call: `POST /containers/$UP/update {"Memory":67108864,"MemorySwap":33554432}`, status: 400, message: "Minimum memoryswap limit should be larger than memory limit, see usage"},
	{name: "update: two ways to say CPUs", call: `POST /containers/$UP/update {"NanoCpus":500000000,"CpuPeriod":100000}`, status: 400, message: "Conflicting options: Nano CPUs and CPU Period cannot both be set"},
	{
		name: "update: CPUs said otherwise before", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"],"HostConfig":{"CpuPeriod":100000,"CpuQuota":50000}}`},
		call: `POST /containers/$N/update {"NanoCpus":500000000}`, status: 409, message: `/: Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set$/`,
	},
	{name: "update: no such policy", call: `POST /containers/$UP/update {"RestartPolicy":{"Name":"sometimes"}}`, status: 400, message: `/^invalid restart policy: unknown policy 'sometimes'/`},
	{name: "update: retries of a policy that has none", call: `POST /containers/$UP/update {"RestartPolicy":{"Name":"always","MaximumRetryCount":3}}`, status: 400, message: `/maximum retry count can only be used with 'on-failure'/`},
	{
		name: "update: policy of what is to be removed on exit", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"],"HostConfig":{"AutoRemove":true}}`},
		call: `POST /containers/$N/update {"RestartPolicy":{"Name":"always"}}`, status: 409, message: `/: Restart policy cannot be updated because AutoRemove is enabled for the container$/`,
	},

	// restart policies
	{name: "policy: on-failure", before: failing(`{"Name":"on-failure","MaximumRetryCount":2}`), call: `POST /containers/$N/wait?condition=not-running`, status: 200, after: []step{
		{call: `GET /containers/$N/json`, body: `{"RestartCount":2,"State":{"Status":"exited","ExitCode":5,"Restarting":false}}`, until: true},
	}},
	{name: "policy: in the back-off", before: failing(`{"Name":"always"}`), call: `GET /containers/$N/json`, status: 200, after: []step{
		state(`{"Status":"restarting","Running":true,"Restarting":true,"Pid":0,"ExitCode":5}`),
	}, loose: []string{"State", "HostnamePath", "HostsPath", "ResolvConfPath"}},
	{name: "policy: a stop ends it", before: append(failing(`{"Name":"always"}`), `POST /containers/$N/wait`), call: `POST /containers/$N/stop`, status: 204, after: []step{state(`{"Status":"exited","Restarting":false}`)}},

	// wait
	{name: "wait: what does not run", call: `POST /containers/$EXITED/wait`, status: 200, body: `{"StatusCode":3}`},
	{name: "wait: what never ran", call: `POST /containers/$CREATED/wait`, status: 200, body: `{"StatusCode":0}`},
	{name: "wait: no such container", call: `POST /containers/nosuch/wait`, status: 404, message: "No such container: nosuch"},
	{name: "wait: no such condition", call: `POST /containers/$UP/wait?condition=never`, status: 400, message: `invalid condition: "never"`},
	{name: "wait: removed already", before: append(created[:1:1], `DELETE /containers/$N`), call: `POST /containers/$N/wait?condition=removed`, status: 404, message: "No such container: $N"},
	{
		name: "wait: tells why it did not start", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["nosuch"]}`, `POST /containers/$N/wait?condition=not-running`},
		call: `POST /containers/$N/start`, status: 400, message: `/executable file not found/`,
		after: []step{{call: `POST /containers/$N/wait`, status: 200, body: `{"StatusCode":127,"Error":{"Message":"/executable file not found/"}}`}},
	},

	// rename
	{name: "rename", before: created, call: `POST /containers/$N/rename?name=${N}b`, status: 204, after: []step{{call: `GET /containers/${N}b/json`, status: 200, body: `{"Name":"/${N}b"}`}, {call: `GET /containers/$N/json`, status: 404}}},
	{name: "rename: while it runs", before: started, call: `POST /containers/$N/rename?name=/${N}b`, status: 204, after: []step{{call: `GET /containers/${N}b/json`, body: `{"Name":"/${N}b","State":{"Status":"running"}}`}}},
	{name: "rename: no such container", call: `POST /containers/nosuch/rename?name=${N}b`, status: 404, message: "No such container: nosuch"},
	{name: "rename: to the same name", before: created, call: `POST /containers/$N/rename?name=$N`, status: 400, message: "Renaming a container with the same name as its current name"},
	{name: "rename: to nothing", call: `POST /containers/$UP/rename?name=`, status: 400, message: "Neither old nor new names may be empty"},
	{name: "rename: to a bad name", call: `POST /containers/$UP/rename?name=b!`, status: 400, message: "Error when allocating new name: Invalid container name (/b!), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
	{
		name: "rename: to a name that is taken", before: append(created[:1:1], `POST /containers/create?name=${N}b {"Image":"$IMG","Cmd":["true"]}`), call: `POST /containers/$N/rename?name=${N}b`,
		status: 409, message: `/^Error when allocating new name: Conflict. The container name "/${N}b" is already in use by container "?[0-9a-f]{64}/`,
	},

	// remove
	{name: "remove", before: created, call: `DELETE /containers/$N`, status: 204, after: []step{{call: `GET /containers/$N/json`, status: 404}}},
	{name: "remove: no such container", call: `DELETE /containers/nosuch`, status: 404, message: "No such container: nosuch"},
	{name: "remove: no such container, by force", call: `DELETE /containers/nosuch?force=1`, status: 404, message: "No such container: nosuch"},
	{name: "remove: what runs", call: `DELETE /containers/$UP`, status: 409, message: `cannot remove container "$UP": container is running: stop the container before removing or force remove`},
	{name: "remove: what is paused", before: paused, call: `DELETE /containers/$N`, status: 409, message: `cannot remove container "$N": container is paused and must be unpaused first`},
	{name: "remove: what is paused, by force", before: paused, call: `DELETE /containers/$N?force=1`, status: 204},
	{name: "remove: what runs, by force", before: started, call: `DELETE /containers/$N?force=true`, status: 204, after: []step{{call: `GET /containers/$N/json`, status: 404}}},
	{name: "remove: a container's own name is no link", before: created, call: `DELETE /containers/$N?link=1`, status: 500, message: "Conflict, cannot remove the default link name of the container"},
	{
		name: "remove: with its anonymous volumes", call: `DELETE /containers/$N?v=1`, status: 204,
		before: []string{`POST /volumes/create {"Name":"${N}b"}`, `POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"],"Volumes":{"/a":{}},"HostConfig":{"Binds":["${N}b:/named"]}}`},
		after:  []step{{call: `GET /volumes/${N}b`, status: 200}},
	},

	// prune
	{name: "prune: no such filter", call: `POST /containers/prune?filters={"name":["x"]}`, status: 400, message: `/^invalid filter 'name'/`},
	{name: "prune: two times", call: `POST /containers/prune?filters={"until":["1h","2h"]}`, status: 400, message: "more than one until filter specified"},
	{
		name: "prune: by label", before: []string{
			`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"],"Labels":{"prune":"$N"}}`,
			`POST /containers/create?name=${N}b {"Image":"$IMG","Cmd":["true"],"Labels":{"prune":"$N","keep":""}}`,
		},
		call: `POST /containers/prune?filters={"label":["prune=$N"],"label!":["keep"]}`, status: 200, body: `{"ContainersDeleted":["<id>"],"SpaceReclaimed":0}`,
		after: []step{{call: `GET /containers/$N/json`, status: 404}, {call: `GET /containers/${N}b/json`, status: 200}},
	},
	{name: "prune: nothing", call: `POST /containers/prune?filters={"label":["nosuch=$N"]}`, status: 200, body: `{"ContainersDeleted":null,"SpaceReclaimed":0}`},
})

// withoutInspect leaves the shape of what inspect and list show to their own cases.
func withoutInspect(cases []apiCase) []apiCase {
	for i := range cases {
		cases[i].loose = append(cases[i].loose, "Config", "HostConfig", "NetworkSettings", "Health")
	}
	return cases
}
