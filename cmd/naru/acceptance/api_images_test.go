package acceptance

// listsImages is a case of GET /images/json with filters: what must be among the names.
func listsImages(name, filters, body string) apiCase {
	return apiCase{name: "images: list: " + name, call: `GET /images/json?filters=` + filterText(filters), status: 200, body: body}
}

func refusesImages(name, filters, message string) apiCase {
	return apiCase{name: "images: list refused: " + name, call: `GET /images/json?filters=` + filterText(filters), status: 400, message: message}
}

// imageGraph is what depends on where an image's layers lie, and the time of an image that has none.
var imageGraph = []string{"GraphDriver.Data", "Created", "DockerVersion", "Descriptor", "Identity"}

// tagged makes a name of the case's own for the image.
var tagged = []string{`POST /images/$IMG/tag?repo=$N&tag=x`}

// apiImageCases are about images: their lists, names and archives.
var apiImageCases = []apiCase{
	{name: "images: list", call: `GET /images/json?filters=` + filterText(`{"reference":["$IMG"]}`), status: 200,
		body: `[{"Id":"<id>","ParentId":"","RepoTags":["$IMG:latest"],"RepoDigests":["/@sha256:[0-9a-f]{64}$/"],"Created":"<number>","Size":"<number>","SharedSize":-1,"Labels":{"program":"redis-server"},
			"VirtualSize":"<absent>"}]`, loose: []string{"Descriptor"}},
	{name: "images: list: containers are counted since 1.51", call: `GET /v1.51/images/json?filters=` + filterText(`{"reference":["$IMG"]}`), status: 200, body: `[{"Containers":"<number>"}]`,
		loose: []string{"Descriptor"}},
	{name: "images: list: containers are not counted before", call: `GET /v1.50/images/json?filters=` + filterText(`{"reference":["$IMG"]}`), status: 200, body: `[{"Containers":-1}]`, loose: []string{"Descriptor"}},
	{name: "images: list: the size twice until 1.43", call: `GET /v1.43/images/json?filters=` + filterText(`{"reference":["$IMG"]}`), status: 200, body: `[{"VirtualSize":"<number>","Size":"<number>"}]`},
	listsImages("reference: a pattern", `{"reference":["*/book*"]}`, `["...",{"RepoTags":["...","$IMG:latest"]}]`),
	listsImages("reference: with its tag", `{"reference":["$IMG:latest"]}`, `[{"RepoTags":["$IMG:latest"]}]`),
	listsImages("reference: none", `{"reference":["nosuch"]}`, `[]`),
	sinceVersion("1.52", listsImages("reference: no pattern", `{"reference":["["]}`, `[]`)),
	listsImages("dangling", `{"dangling":["true"]}`, `[]`),
	listsImages("not dangling", `{"dangling":["false"]}`, `["...",{"RepoTags":["...","$IMG:latest"]}]`),
	listsImages("label", `{"label":["program=redis-server"]}`, `["...",{"RepoTags":["...","$IMG:latest"]}]`),
	listsImages("label: another value", `{"label":["program=x"]}`, `[]`),
	{name: "images: list refused: before what is not there", call: `GET /images/json?filters=` + filterText(`{"before":["nosuch"]}`), status: 404, message: "No such image: nosuch:latest"},
	{name: "images: list refused: since what is not there", call: `GET /images/json?filters=` + filterText(`{"since":["nosuch"]}`), status: 404, message: "No such image: nosuch:latest"},
	refusesImages("no JSON", `x`, "invalid filter"),
	refusesImages("an unknown filter", `{"nosuch":["x"]}`, "invalid filter 'nosuch'"),
	refusesImages("an unknown filter without a value", `{"nosuch":[]}`, "invalid filter 'nosuch'"),
	refusesImages("dangling: neither", `{"dangling":["x"]}`, "invalid filter 'dangling=[x]'"),
	sinceVersion("1.52", refusesImages("until: no time", `{"until":["x"]}`, `invalid value for 'until' filter: failed to parse value as time or duration: invalid seconds "x": invalid syntax`)),

	{name: "images: inspect", call: `GET /images/$IMG/json`, status: 200, loose: imageGraph,
		body: `{"Id":"<id>","RepoTags":["$IMG:latest"],"RepoDigests":["/@sha256:[0-9a-f]{64}$/"],"Config":{"Cmd":["bash"],"Env":["IMAGE_ENV=from-image"],"Labels":{"program":"redis-server"}},
			"Architecture":"amd64","Os":"linux","Size":"<number>","RootFS":{"Type":"layers","Layers":["<id>","<id>"]},"Metadata":{"LastTagTime":"<string>"}}`},
	{name: "images: inspect until 1.51", call: `GET /v1.51/images/$IMG/json`, status: 200, loose: imageGraph,
		body: `{"Parent":"","Comment":"","Author":"","Config":{"User":"","WorkingDir":"","Entrypoint":null,"OnBuild":null,"Volumes":null,"Hostname":"<absent>"}}`},
	{name: "images: inspect until 1.49", call: `GET /v1.49/images/$IMG/json`, status: 200, loose: imageGraph, body: `{"Config":{"Hostname":"","Image":"","Tty":false}}`},
	{name: "images: inspect until 1.43", call: `GET /v1.43/images/$IMG/json`, status: 200, loose: append([]string{"Container", "ContainerConfig"}, imageGraph...), body: `{"VirtualSize":"<number>","ContainerConfig":"<any>"}`},
	{name: "images: inspect from 1.52", call: `GET /v1.52/images/$IMG/json`, status: 200, loose: imageGraph, body: `{"Parent":"<absent>","VirtualSize":"<absent>","Config":{"User":"<absent>","OnBuild":"<absent>"}}`, since: "1.52"},
	{name: "images: inspect: not there", call: `GET /images/nosuch/json`, status: 404, message: "No such image: nosuch:latest"},
	{name: "images: inspect: not there, with slashes", call: `GET /images/a/b/c:1/json`, status: 404, message: "No such image: a/b/c:1"},
	{name: "images: inspect: no name", call: `GET /images/UPPER/json`, status: 400, message: "invalid reference format: repository name (library/UPPER) must be lowercase"},
	{name: "images: inspect: a space", call: `GET /images/a%20b/json`, status: 400, message: "invalid reference format"},
	{name: "images: inspect: a bad platform", call: `GET /v1.49/images/$IMG/json?platform=x`, status: 400, message: "failed to parse platform: invalid character 'x' looking for beginning of value"},
	{name: "images: inspect: half a platform", call: `GET /v1.49/images/$IMG/json?platform=` + filterText(`{"os":"linux"}`), status: 400, message: "both OS and Architecture must be provided"},
	{name: "images: inspect: the platform came with 1.49", call: `GET /v1.48/images/$IMG/json?platform=x`, status: 200, loose: imageGraph},
	{name: "images: history", call: `GET /images/$IMG/history`, status: 200, body: `[{"Id":"<id>","Size":"<number>","Tags":["$IMG:latest"],"Comment":"","CreatedBy":""},{"Id":"<missing>","Tags":null}]`},
	{name: "images: history: not there", call: `GET /images/nosuch/history`, status: 404, message: "No such image: nosuch:latest"},

	{name: "images: tag", call: `POST /images/$IMG/tag?repo=$N&tag=x`, status: 201, body: "<empty>",
		after: []step{{call: `GET /images/$N:x/json`, body: `{"RepoTags":["...","$N:x","$IMG:latest"]}`}, {call: `DELETE /images/$N:x`, status: 200, body: `["...",{"Untagged":"$N:x"}]`}}, loose: imageGraph},
	{name: "images: tag: latest is meant", call: `POST /images/$IMG/tag?repo=$N`, status: 201, after: []step{{call: `DELETE /images/$N:latest`, status: 200}}},
	{name: "images: tag: within the repository", call: `POST /images/$IMG/tag?repo=$N:y`, status: 201, after: []step{{call: `DELETE /images/$N:y`, status: 200}}},
	{name: "images: tag: nothing is asked", call: `POST /images/$IMG/tag`, status: 200, body: "<empty>"},
	{name: "images: tag: not there", call: `POST /images/nosuch/tag?repo=a&tag=b`, status: 404, message: "No such image: nosuch:latest"},
	{name: "images: tag: a bad repository", call: `POST /images/$IMG/tag?repo=UPPER`, status: 400, message: "invalid reference format: repository name (library/UPPER) must be lowercase"},
	{name: "images: tag: a bad tag", call: `POST /images/$IMG/tag?repo=a&tag=b/c`, status: 400, message: "invalid tag format"},
	{name: "images: tag: a digest", call: `POST /images/$IMG/tag?repo=a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`, status: 400, message: "cannot import digest reference"},
	{name: "images: tag: what looks like an ID", call: `POST /images/$IMG/tag?repo=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`, status: 400,
		message: "invalid repository name (aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa), cannot specify 64-byte hexadecimal strings"},
	{name: "images: tag: the name of a digest", call: `POST /images/$IMG/tag?repo=sha256`, status: 400, message: "refusing to create an ambiguous tag using digest algorithm as name"},

	{name: "images: remove: a name", before: tagged, call: `DELETE /images/$N:x`, status: 200, body: `["...",{"Untagged":"$N:x"}]`},
	{name: "images: remove: not there", call: `DELETE /images/nosuch`, status: 404, message: "No such image: nosuch:latest"},
	{name: "images: remove: in use", before: []string{`POST /containers/create?name=$N {"Image":"$IMG"}`}, call: `DELETE /images/$IMG`, status: 409,
		message: `/^conflict: unable to (remove repository reference "$IMG" \(must force\)|delete $IMG:latest \(must be forced\)) - container [0-9a-f]{12} is using its referenced image [0-9a-f]{12}$/`},

	{name: "images: export: not there", call: `GET /images/nosuch/get`, status: 404, message: "/^No such image: nosuch/"},
	{name: "images: export several: not there", call: `GET /images/get?names=nosuch`, status: 404, message: "/^No such image: nosuch/"},
	{name: "images: export: none is named", call: `GET /images/get`, status: 400, message: "no image is named", differs: "empty archives"},
	{name: "images: load: no archive", call: `POST /images/load`, raw: func() []byte { return []byte("junk") }, status: 200, body: `/"errorDetail":\{"message":"/`, header: map[string]string{"Content-Type": "application/json"}},
	{name: "images: import: a bad name", call: `POST /images/create?fromSrc=-&repo=UPPER`, status: 400, message: "invalid reference format: repository name (library/UPPER) must be lowercase"},
	{name: "images: import: an empty archive", call: `POST /images/create?fromSrc=-`, status: 400, message: "invalid archive: it is empty", differs: "empty archives"},

	{name: "images: pull", before: []string{}, call: `POST /images/create?fromImage=$IMG&tag=latest`, status: 200, body: `["...",{"status":"Pulling from bookworm","id":"latest"},{"status":"Status: Image is up to date for $IMG:latest"}]`},
	{name: "images: pull: all tags", call: `POST /images/create?fromImage=$IMG`, status: 200, body: `["...",{"status":"Pulling from bookworm","id":"latest"},{"status":"/^Status: Image is up to date for $IMG(:latest)?$/"}]`},
	{name: "images: pull: no name", call: `POST /images/create?fromImage=UPPER`, status: 400, message: "invalid reference format: repository name (library/UPPER) must be lowercase"},
	{name: "images: pull: no platform", call: `POST /images/create?fromImage=a&platform=x`, status: 400, message: `"x": unknown operating system or architecture: invalid argument`},
	{name: "images: pull: a tag that the registry has not", call: `POST /images/create?fromImage=$IMG&tag=nosuch`, status: 404, message: "/(unknown|not found)/"},
	{name: "images: pull: credentials that nobody can read", call: `POST /images/create?fromImage=$IMG&tag=latest`, head: map[string]string{"X-Registry-Auth": "garbage"}, status: 200},
	{name: "images: push: not there", call: `POST /images/nosuch/push`, status: 200, head: map[string]string{"X-Registry-Auth": "garbage"},
		body: `["...",{"errorDetail":{"message":"An image does not exist locally with the tag: nosuch"}}]`},
	{name: "images: prune: an unknown filter", call: `POST /images/prune?filters=` + filterText(`{"nosuch":["x"]}`), status: 400, message: "invalid filter 'nosuch'"},
	{name: "images: prune: dangling: neither", call: `POST /images/prune?filters=` + filterText(`{"dangling":["x"]}`), status: 400, message: "invalid filter 'dangling=[x]'"},
	{name: "images: distribution: no name", call: `GET /distribution/UPPER/json`, status: 400, message: "invalid reference format: repository name (library/UPPER) must be lowercase"},
	{name: "images: distribution", call: `GET /distribution/$IMG/json`, status: 200, body: `{"Descriptor":{"mediaType":"<string>","digest":"<id>","size":"<number>"},"Platforms":[{"architecture":"amd64","os":"linux"}]}`},
}
