package acceptance

import (
	"encoding/json"
	"net/url"
)

// lists is a case of GET /containers/json: the names must be listed in this order, the newest first.
func lists(name, query, filters string, names ...string) apiCase {
	list := []map[string]any{}
	for _, n := range names {
		list = append(list, map[string]any{"Names": []string{"/" + n}})
	}
	body, err := json.Marshal(list)
	if err != nil {
		panic(err)
	}
	return apiCase{name: "list: " + name, call: `GET /containers/json?` + query + `&filters=` + filterText(filters), status: 200, body: string(body)}
}

// listsOwn is lists with a container of the case's own, started.
func listsOwn(name, create, query, filters string, names ...string) apiCase {
	c := lists(name, query, filters, names...)
	c.before = []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["sleep","1000"],` + create + `}`, `POST /containers/$N/start`}
	return c
}

func refusesFilter(name, filters, message string) apiCase {
	return apiCase{name: "list: " + name, call: `GET /containers/json?all=1&filters=` + filterText(filters), status: 400, message: message}
}

// filterText escapes what a call must not have in its path.
func filterText(filters string) string { return url.PathEscape(filters) }

const ours = `"label":["shared"]`

// apiListCases are about GET /containers/json. The shared containers carry the label "shared"; the newest is $UP.
var apiListCases = []apiCase{
	lists("running ones only", "", `{`+ours+`}`, "$UP"),
	lists("all", "all=1", `{`+ours+`}`, "$UP", "$EXITED", "$CREATED"),
	lists("all=true", "all=true", `{`+ours+`}`, "$UP", "$EXITED", "$CREATED"),
	lists("all=0 is not all", "all=0", `{`+ours+`}`, "$UP"),
	lists("all=False is not all", "all=False", `{`+ours+`}`, "$UP"),
	lists("limit implies all", "limit=2", `{`+ours+`}`, "$UP", "$EXITED"),
	lists("limit counts matches", "limit=1", `{"label":["shared=created"]}`, "$CREATED"),
	lists("limit=0 is none", "limit=0", `{`+ours+`}`, "$UP"),
	lists("a negative limit is none", "limit=-1", `{`+ours+`}`, "$UP"),
	{name: "list: limit is a number", call: `GET /containers/json?limit=x`, status: 400, message: `strconv.Atoi: parsing "x": invalid syntax`, since: "1.52"},

	refusesFilter("filters are JSON", `{`, "invalid filter"),
	refusesFilter("filters are an object", `[]`, "invalid filter"),
	refusesFilter("filters are no text", `"x"`, "invalid filter"),
	refusesFilter("a filter is a list or an object", `{"name":"x"}`, "invalid filter"),
	refusesFilter("filters of both forms", `{"name":["x"],"label":{"l":true}}`, "invalid filter"),
	refusesFilter("an unknown filter", `{"nosuch":["x"]}`, "invalid filter 'nosuch'"),
	refusesFilter("an unknown filter without a value", `{"nosuch":[]}`, "invalid filter 'nosuch'"),
	refusesFilter("names of filters are in small letters", `{"Name":["x"]}`, "invalid filter 'Name'"),
	refusesFilter("label! is not one here", `{"label!":["x"]}`, "invalid filter 'label!'"),
	lists("filters as objects", "all=1", `{"label":{"shared":true},"name":{"created":true}}`, "$CREATED"),
	lists("a filter without a value does nothing", "all=1", `{`+ours+`,"name":[]}`, "$UP", "$EXITED", "$CREATED"),
	{name: "list: filters null", call: `GET /containers/json?filters=null`, status: 200, body: "<list>"},

	lists("name: a part", "all=1", `{`+ours+`,"name":["exit"]}`, "$EXITED"),
	lists("name: an expression", "all=1", `{`+ours+`,"name":["^shared-(up|created)$"]}`, "$UP", "$CREATED"),
	lists("name: with its slash", "all=1", `{`+ours+`,"name":["^/$UP"]}`, "$UP"),
	lists("name: several", "all=1", `{`+ours+`,"name":["$UP","$EXITED"]}`, "$UP", "$EXITED"),
	lists("name: other letters", "all=1", `{`+ours+`,"name":["SHARED"]}`),
	lists("name: no expression", "all=1", `{`+ours+`,"name":["("]}`),
	lists("name: empty", "all=1", `{`+ours+`,"name":[""]}`, "$UP", "$EXITED", "$CREATED"),

	lists("id: none", "all=1", `{"id":["zz"]}`),
	lists("id: empty", "all=1", `{"id":[""]}`),
	withBefore(lists("id: whole", "all=1", `{"id":["$I"]}`, "$N"), `I=POST /containers/create?name=$N {"Image":"$IMG"}`),

	lists("label: a key", "all=1", `{"label":["shared"]}`, "$UP", "$EXITED", "$CREATED"),
	lists("label: a key with its value", "all=1", `{"label":["shared=up"]}`, "$UP"),
	lists("label: all of them must hold", "all=1", `{"label":["shared","shared=up"]}`, "$UP"),
	lists("label: two values", "all=1", `{"label":["shared=exited","shared=up"]}`),
	lists("label: no value", "all=1", `{"label":["shared="]}`),
	lists("label: unknown", "all=1", `{"label":["nosuch"]}`),

	lists("status: running", "", `{`+ours+`,"status":["running"]}`, "$UP"),
	lists("status: implies all", "", `{`+ours+`,"status":["exited","created"]}`, "$EXITED", "$CREATED"),
	lists("status: paused", "", `{`+ours+`,"status":["paused"]}`),
	refusesFilter("status: unknown", `{"status":["nosuch"]}`, "invalid filter 'status=nosuch': invalid value for state (nosuch): must be one of created, running, paused, restarting, removing, exited, dead"),
	refusesFilter("status: other letters", `{"status":["Running"]}`, "invalid filter 'status=Running': invalid value for state (Running): must be one of created, running, paused, restarting, removing, exited, dead"),
	lists("exited: does not imply all", "", `{`+ours+`,"exited":["3"]}`),
	lists("exited: with all", "all=1", `{`+ours+`,"exited":["3"]}`, "$EXITED"),
	lists("exited: another code", "all=1", `{`+ours+`,"exited":["0","1"]}`),
	refusesFilter("exited: no number", `{"exited":["x"]}`, `invalid filter 'exited=x': strconv.Atoi: parsing "x": invalid syntax`),

	lists("ancestor: a name", "all=1", `{`+ours+`,"ancestor":["$IMG"]}`, "$UP", "$EXITED", "$CREATED"),
	lists("ancestor: a name with its tag", "all=1", `{`+ours+`,"ancestor":["$IMG:latest"]}`, "$UP", "$EXITED", "$CREATED"),
	lists("ancestor: unknown", "all=1", `{`+ours+`,"ancestor":["nosuch"]}`),
	lists("ancestor: no name at all", "all=1", `{`+ours+`,"ancestor":["UPPER"]}`),

	lists("before", "all=1", `{`+ours+`,"before":["$EXITED"]}`, "$CREATED"),
	lists("before: does not imply all", "", `{`+ours+`,"before":["$EXITED"]}`),
	lists("before: with a slash", "all=1", `{`+ours+`,"before":["/$EXITED"]}`, "$CREATED"),
	lists("since", "all=1", `{`+ours+`,"since":["$EXITED"]}`, "$UP"),
	lists("before and since", "all=1", `{`+ours+`,"since":["$CREATED"],"before":["$UP"]}`, "$EXITED"),
	{name: "list: before: unknown", call: `GET /containers/json?filters=` + filterText(`{"before":["nosuch"]}`), status: 404, message: "No such container: nosuch"},
	{name: "list: since: unknown", call: `GET /containers/json?filters=` + filterText(`{"since":["nosuch"]}`), status: 404, message: "No such container: nosuch"},

	listsOwn("volume: by name", `"HostConfig":{"Binds":["$N:/v"]}`, "", `{"volume":["$N"]}`, "$N"),
	listsOwn("volume: by its place", `"HostConfig":{"Binds":["$N:/place/of/$N"]}`, "", `{"volume":["/place/of/$N"]}`, "$N"),
	listsOwn("volume: by a bind's source", `"HostConfig":{"Binds":["$DIR:/b"]},"Labels":{"own":"$N"}`, "", `{"volume":["$DIR"],"label":["own=$N"]}`, "$N"),
	lists("volume: unknown", "all=1", `{"volume":["nosuch"]}`),
	lists("network: by name", "", `{`+ours+`,"network":["bridge"]}`, "$UP"),
	lists("network: another", "all=1", `{`+ours+`,"network":["host"]}`),
	lists("network: unknown", "all=1", `{`+ours+`,"network":["nosuch"]}`),
	listsOwn("network: none", `"HostConfig":{"NetworkMode":"none"},"Labels":{"own":"$N"}`, "", `{"network":["none"],"label":["own=$N"]}`, "$N"),

	listsOwn("publish: the port of the host", `"ExposedPorts":{"80/tcp":{}},"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"28081"}]}}`, "", `{"publish":["28081"]}`, "$N"),
	listsOwn("publish: a range", `"ExposedPorts":{"80/tcp":{}},"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"28082"}]}}`, "", `{"publish":["28082-28089/tcp"]}`, "$N"),
	listsOwn("publish: not the container's port", `"ExposedPorts":{"80/tcp":{}},"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"28083"}]}},"Labels":{"own":"$N"}`, "", `{"publish":["80"],"label":["own=$N"]}`),
	listsOwn("publish: another protocol", `"ExposedPorts":{"80/tcp":{}},"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"28084"}]}}`, "", `{"publish":["28084/udp"]}`),
	listsOwn("expose: a port", `"ExposedPorts":{"4711/udp":{}}`, "", `{"expose":["4711/udp"]}`, "$N"),
	listsOwn("expose: a range", `"ExposedPorts":{"4712/tcp":{}}`, "", `{"expose":["4712-4713"]}`, "$N"),
	listsOwn("expose: another protocol", `"ExposedPorts":{"4714/udp":{}}`, "", `{"expose":["4714"]}`),
	differing("bad port filters", refusesFilter("publish: no port", `{"publish":["x"]}`, "error while looking up for publish x: invalid start port 'x': invalid syntax")),
	differing("bad port filters", refusesFilter("publish: two ports", `{"publish":["80:80"]}`, "filter for 'publish' should not contain ':': 80:80")),
	differing("bad port filters", refusesFilter("expose: too large", `{"expose":["99999"]}`, "error while looking up for expose 99999: invalid start port '99999': value out of range")),
	differing("bad port filters", refusesFilter("expose: a range that goes down", `{"expose":["9-3"]}`, "error while looking up for expose 9-3: invalid port range: 9-3")),

	lists("health: none", "all=1", `{`+ours+`,"health":["none"]}`, "$UP", "$EXITED", "$CREATED"),
	lists("health: healthy", "all=1", `{`+ours+`,"health":["healthy"]}`),
	refusesFilter("health: unknown", `{"health":["nosuch"]}`, "invalid filter 'health=nosuch': invalid value for health (nosuch): must be one of none, starting, healthy, unhealthy"),
	lists("is-task: no", "all=1", `{`+ours+`,"is-task":["false"]}`, "$UP", "$EXITED", "$CREATED"),
	lists("is-task: yes", "all=1", `{`+ours+`,"is-task":["true"]}`),
	refusesFilter("is-task: neither", `{"is-task":["x"]}`, "invalid filter 'is-task=[x]'"),
	lists("isolation: nothing on Linux", "all=1", `{`+ours+`,"isolation":["hyperv"]}`, "$UP", "$EXITED", "$CREATED"),

	{name: "list: every field", call: `GET /containers/json?all=1&filters=` + filterText(`{"label":["shared=up"]}`), status: 200,
		body: `[{"Id":"<id>","Names":["/$UP"],"Image":"$IMG","ImageID":"<id>","Command":"sleep 100000","Created":"<number>","Ports":[],"Labels":{"shared":"up"},
			"State":"running","Status":"/^Up (\\d+|Less than|About) /","HostConfig":{"NetworkMode":"bridge"},"Mounts":[],"SizeRw":"<absent>","SizeRootFs":"<absent>",
			"NetworkSettings":{"Networks":{"bridge":{"NetworkID":"<id>","EndpointID":"<id>","Gateway":"<string>","IPAddress":"<string>","IPPrefixLen":16,"IPv6Gateway":"",
			"GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"MacAddress":"<string>","IPAMConfig":null,"Links":null,"Aliases":null,"DriverOpts":null,"DNSNames":null,"GwPriority":0}}}}]`},
	{name: "list: with sizes", call: `GET /containers/json?all=1&size=1&filters=` + filterText(`{"label":["shared=exited"]}`), status: 200,
		body: `[{"SizeRootFs":"<number>","Status":"/^Exited \\(3\\) .* ago$/","State":"exited","Ports":[]}]`},
	{name: "list: never started", call: `GET /containers/json?all=1&filters=` + filterText(`{"label":["shared=created"]}`), status: 200,
		body: `[{"State":"created","Status":"Created","Ports":[]}]`},
	{name: "list: the health came with 1.52", call: `GET /v1.52/containers/json?filters=` + filterText(`{"label":["shared=up"]}`), status: 200, body: `[{"Health":{"Status":"none","FailingStreak":0}}]`, since: "1.52"},
	{name: "list: no health before", call: `GET /v1.51/containers/json?filters=` + filterText(`{"label":["shared=up"]}`), status: 200, body: `[{"Health":"<absent>"}]`},
	{name: "list: annotations", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","HostConfig":{"Annotations":{"a":"b"}}}`},
		call: `GET /v1.46/containers/json?all=1&filters=` + filterText(`{"name":["^$N$"]}`), status: 200, body: `[{"HostConfig":{"NetworkMode":"bridge","Annotations":{"a":"b"}}}]`},
	{name: "list: no annotations before 1.46", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","HostConfig":{"Annotations":{"a":"b"}}}`},
		call: `GET /v1.45/containers/json?all=1&filters=` + filterText(`{"name":["^$N$"]}`), status: 200, body: `[{"HostConfig":{"NetworkMode":"bridge","Annotations":"<absent>"}}]`},
	{name: "list: a command with spaces in quotes", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Entrypoint":["sh","-c"],"Cmd":["echo a b","c"]}`},
		call: `GET /containers/json?all=1&filters=` + filterText(`{"name":["^$N$"]}`), status: 200, body: `[{"Command":"sh -c 'echo a b' c"}]`},
	{name: "list: published ports", before: []string{
		`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["sleep","1000"],"ExposedPorts":{"53/udp":{},"80/tcp":{}},"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"28090"}]}}}`, `POST /containers/$N/start`},
		call: `GET /containers/json?filters=` + filterText(`{"name":["^$N$"]}`), status: 200,
		body: `[{"Ports":["...",{"PrivatePort":53,"Type":"udp","PublicPort":"<absent>"},{"IP":"/^(0.0.0.0|127.0.0.1)$/","PrivatePort":80,"PublicPort":28090,"Type":"tcp"}]}]`, loose: []string{"Ports"}},
	{name: "list: the image's name once it means another", before: []string{
		`POST /images/$IMG/tag?repo=$N&tag=x`, `POST /containers/create?name=$N {"Image":"$N:x"}`, `DELETE /images/$N:x`},
		call: `GET /containers/json?all=1&filters=` + filterText(`{"name":["^$N$"]}`), status: 200, body: `[{"Image":"<id>","ImageID":"<id>"}]`},
}

func withBefore(c apiCase, before ...string) apiCase {
	c.before = before
	return c
}

func differing(key string, c apiCase) apiCase {
	c.differs = key
	return c
}
