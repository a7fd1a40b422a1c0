package acceptance

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// committed is an image of the case's own, $X.
var committed = []string{`X=POST /commit?container=$EXITED&repo=$N {}`}

// plus is a list with more requests.
func plus(before []string, more ...string) []string {
	return append(before[:len(before):len(before)], more...)
}

const (
	amd64 = `%7B%22os%22:%22linux%22,%22architecture%22:%22amd64%22%7D`
	arm64 = `%7B%22os%22:%22linux%22,%22architecture%22:%22arm64%22%7D`
	// otherPlatform is the refusal of an image that is not of the platform: dockerd's two stores have different words.
	otherPlatform = `/^image with reference $IMG(:latest)? was found but (does not provide the specified platform \(linux/arm64\)|its platform \(linux/amd64\) does not match the specified platform \(linux/arm64\))$/`
)

// loadable is an archive as `docker save` writes it, of an image that nothing else has, packed by a program ("" is plain).
func loadable(tag, packer string) func() []byte {
	return func() []byte {
		image, err := interopImage("amd64", "application/vnd.docker.image.rootfs.diff.tar.gzip")
		if err != nil {
			panic(err)
		}
		var b bytes.Buffer
		if err := tarball.Write(must(name.NewTag(tag)), image, &b); err != nil {
			panic(err)
		}
		if packer == "" {
			return b.Bytes()
		}
		cmd := exec.Command(packer)
		cmd.Stdin = &b
		return must(cmd.Output())
	}
}

// loads is a case of a load, for each engine the same image again.
func loads(packer string) apiCase {
	tag := "loaded-" + packer + ":1"
	return apiCase{name: "images: load: " + packer, call: `POST /images/load`, raw: loadable(tag, packer), head: map[string]string{"Content-Type": "application/x-tar"}, status: 200,
		body: fmt.Sprintf(`{"stream":"Loaded image: %s\n"}`, tag), loose: imageGraph,
		after: []step{{call: `GET /images/` + tag + `/json`, body: fmt.Sprintf(`{"RepoTags":[%q],"RepoDigests":[],"Config":{"Entrypoint":["/naru-hello"]},"RootFS":{"Layers":["<id>","<id>"]}}`, tag)},
			{call: `DELETE /images/` + tag, status: 200, body: fmt.Sprintf(`["...",{"Untagged":%q},{"Deleted":"<id>"}]`, tag)}}}
}

// apiImageStoreCases are about platforms, archives, and what may be removed.
var apiImageStoreCases = []apiCase{
	{name: "images: list: manifests", call: `GET /v1.47/images/json?manifests=1&filters=` + filterText(`{"reference":["$IMG"]}`), status: 200, body: `[{"Id":"<id>","RepoTags":["$IMG:latest"]}]`, loose: []string{"Manifests", "Descriptor"}},
	{name: "images: inspect: manifests", call: `GET /v1.48/images/$IMG/json?manifests=1`, status: 200, body: `{"Id":"<id>"}`, loose: append([]string{"Manifests"}, imageGraph...)},
	{name: "images: inspect: manifests and platform", call: `GET /v1.49/images/$IMG/json?manifests=1&platform=` + amd64, status: 400, message: "conflicting options: manifests and platform options cannot both be set"},
	{name: "images: inspect: its platform", call: `GET /v1.49/images/$IMG/json?platform=` + amd64, status: 200, body: `{"Architecture":"amd64"}`, loose: imageGraph},
	{name: "images: inspect: another platform", call: `GET /v1.49/images/$IMG/json?platform=` + arm64, status: 404, message: otherPlatform},
	{name: "images: inspect: a platform without its parts", call: `GET /v1.49/images/$IMG/json?platform=` + filterText(`{"variant":"v7"}`), status: 400, message: "optional platform fields provided, but OS and Architecture are missing"},
	{name: "images: history: its platform", call: `GET /v1.48/images/$IMG/history?platform=` + amd64, status: 200, body: `[{"Id":"<id>"},{"Id":"<missing>"}]`},
	{name: "images: history: another platform", call: `GET /v1.48/images/$IMG/history?platform=` + arm64, status: 404, message: otherPlatform},
	{name: "images: history: a bad platform", call: `GET /v1.48/images/$IMG/history?platform=x`, status: 400, message: "failed to parse platform: invalid character 'x' looking for beginning of value"},
	{name: "images: push: a bad platform", call: `POST /v1.46/images/$IMG/push?tag=latest&platform=x`, status: 400, message: "failed to parse platform: invalid character 'x' looking for beginning of value"},
	{name: "images: remove: another platform", call: `DELETE /v1.50/images/$IMG?platforms=` + arm64, status: 404, message: otherPlatform},
	{name: "images: remove: two platforms", call: `DELETE /v1.50/images/$IMG?platforms=` + arm64 + `&platforms=` + amd64, status: 400, message: "multiple platforms are not supported", since: "1.50"},
	{name: "images: remove: a bad platform", call: `DELETE /v1.50/images/$IMG?platforms=x`, status: 400, message: "failed to parse platform: invalid character 'x' looking for beginning of value"},
	{name: "images: remove: its platform", before: committed, call: `DELETE /v1.50/images/$N?platforms=` + amd64, status: 200, body: `["...",{"Untagged":"$N:latest"},{"Deleted":"$X"}]`},

	{name: "images: export", before: committed, call: `GET /images/$N/get`, status: 200, body: `/"RepoTags":\["$N:latest"\]/`, header: map[string]string{"Content-Type": "application/x-tar"}},
	{name: "images: export several", before: committed, call: `GET /images/get?names=$N&names=$IMG:latest&names=$N:latest`, status: 200, body: `/"RepoTags":\["$N:latest"\]/`},
	{name: "images: export by ID", before: committed, call: `GET /images/get?names=$X`, status: 200, body: `/"RepoTags":null/`},
	{name: "images: export: its platform", before: committed, call: `GET /v1.48/images/$N/get?platform=` + amd64, status: 200, body: `/"RepoTags":\["$N:latest"\]/`},
	{name: "images: export: another platform", call: `GET /v1.52/images/$IMG/get?platform=` + arm64, status: 404, message: "/^no suitable export target found/", since: "1.52"},
	{name: "images: export: a bad platform", call: `GET /v1.48/images/$IMG/get?platform=x`, status: 400, message: "failed to parse platform: invalid character 'x' looking for beginning of value"},
	{name: "images: load: a bad platform", call: `POST /v1.48/images/load?platform=x`, status: 400, message: "failed to parse platform: invalid character 'x' looking for beginning of value"},
	loads("cat"), loads("gzip"), loads("xz"), loads("zstd"), loads("bzip2"),

	{name: "images: import", call: `POST /images/create?fromSrc=-&repo=$N&tag=latest&message=why&platform=linux/arm64&changes=CMD%20x%20y&changes=ENV%20A=b&changes=EXPOSE%2080`,
		raw: func() []byte { return must(io.ReadAll(tarOf("f", "text", 0o644))) }, status: 200, body: `{"status":"<id>"}`, loose: imageGraph,
		after: []step{{call: `GET /images/$N/json`, body: `{"Architecture":"arm64","Os":"linux","Comment":"why","Config":{"Cmd":["/bin/sh","-c","x y"],"Env":["A=b"],"ExposedPorts":{"80/tcp":{}}},"RootFS":{"Type":"layers","Layers":["<id>"]}}`},
			{call: `GET /images/$N/history`, body: `[{"Comment":"why","Tags":["$N:latest"]}]`}}},
	{name: "images: import: a bad change", call: `POST /images/create?fromSrc=-&changes=RUN%20x`, raw: func() []byte { return must(io.ReadAll(tarOf("f", "text", 0o644))) }, status: 400, message: "RUN is not a valid change command"},

	{name: "images: remove: by ID", before: committed, call: `DELETE /images/$X`, status: 200, body: `["...",{"Untagged":"$N:latest"},{"Deleted":"$X"}]`},
	{name: "images: remove: by ID, two repositories", before: plus(committed, `POST /images/$N/tag?repo=${N}b`), call: `DELETE /images/$X`, status: 409,
		message: `/^conflict: unable to delete [0-9a-f]{12} \(must be forced\) - image is referenced in multiple repositories$/`, after: []step{{call: `DELETE /images/${N}b`, status: 200}}},
	{name: "images: remove: by ID, two repositories, by force", before: plus(committed, `POST /images/$N/tag?repo=${N}b`), call: `DELETE /images/$X?force=1`, status: 200,
		body: `["...",{"Untagged":"$N:latest"},{"Untagged":"${N}b:latest"},{"Deleted":"$X"}]`},
	{name: "images: remove: a name of several", before: plus(committed, `POST /images/$N/tag?repo=${N}b`), call: `DELETE /images/${N}b`, status: 200, body: `[{"Untagged":"${N}b:latest"}]`},
	{name: "images: remove: a stopped container has it", before: plus(committed, `POST /containers/create?name=$N {"Image":"$N"}`), call: `DELETE /images/$N`, status: 409,
		message: `/^conflict: unable to (remove repository reference "$N" \(must force\)|delete $N:latest \(must be forced\)) - container [0-9a-f]{12} is using its referenced image [0-9a-f]{12}$/`},
	{name: "images: remove: a stopped container has it, by ID", before: plus(committed, `POST /containers/create?name=$N {"Image":"$N"}`), call: `DELETE /images/$X`, status: 409,
		message: `/^conflict: unable to delete [0-9a-f]{12} \(must be forced\) - image is being used by stopped container [0-9a-f]{12}$/`},
	{name: "images: remove: a stopped container has it, by force", before: plus(committed, `POST /containers/create?name=$N {"Image":"$N"}`), call: `DELETE /images/$N?force=1`, status: 200,
		body: `["...",{"Untagged":"$N:latest"},{"Deleted":"$X"}]`, after: []step{{call: `GET /images/$X/json`, status: 404, message: "No such image: $X"}, {call: `GET /containers/$N/json`, body: `{"Image":"$X"}`}}, loose: []string{"State", "HostConfig", "NetworkSettings", "GraphDriver"}},
	{name: "images: remove: a running container has it, by force", before: plus(committed, `POST /containers/create?name=$N {"Image":"$N","Cmd":["sleep","1000"]}`, `POST /containers/$N/start`), call: `DELETE /images/$N?force=1`, status: 200,
		body: `[{"Untagged":"$N:latest"}]`, after: []step{{call: `GET /images/$X/json`, status: 200, body: `{"RepoTags":[]}`}, {call: `DELETE /containers/$N?force=1`, status: 204}, {call: `DELETE /images/$X`, status: 200, body: `["...",{"Deleted":"$X"}]`}}, loose: imageGraph},
	{name: "images: remove: a running container has it, by ID and force", before: plus(committed, `POST /containers/create?name=$N {"Image":"$N","Cmd":["sleep","1000"]}`, `POST /containers/$N/start`), call: `DELETE /images/$X?force=1`, status: 409,
		message: `/^conflict: unable to delete [0-9a-f]{12} \(cannot be forced\) - image is being used by running container [0-9a-f]{12}$/`},

	{name: "images: prune: nothing has the label", call: `POST /images/prune?filters=` + filterText(`{"dangling":["false"],"label":["nosuch=x"]}`), status: 200, body: `{"ImagesDeleted":null,"SpaceReclaimed":0}`},
	{name: "images: prune: by label", before: []string{`X=POST /commit?container=$EXITED&repo=$N&changes=LABEL%20prune=$N {}`}, call: `POST /images/prune?filters=` + filterText(`{"dangling":["false"],"label":["prune=$N"]}`), status: 200,
		body: `{"ImagesDeleted":["...",{"Untagged":"$N:latest"},{"Deleted":"$X"}],"SpaceReclaimed":"<number>"}`},
	{name: "images: prune: dangling by default", before: []string{`X=POST /commit?container=$EXITED&changes=LABEL%20prune=$N {}`, `POST /commit?container=$EXITED&repo=$N&changes=LABEL%20prune=$N {}`}, call: `POST /images/prune?filters=` + filterText(`{"label":["prune=$N"]}`), status: 200,
		body: `{"ImagesDeleted":["...",{"Deleted":"$X"}]}`, after: []step{{call: `GET /images/$N/json`, status: 200}}, loose: imageGraph},
	{name: "images: prune: not with a label, and until", before: []string{`X=POST /commit?container=$EXITED&changes=LABEL%20prune=$N {}`}, call: `POST /images/prune?filters=` + filterText(`{"label":["prune=$N"],"label!":["program"]}`), status: 200, body: `{"ImagesDeleted":null}`,
		after: []step{{call: `POST /images/prune?filters=` + filterText(`{"label":["prune=$N"],"until":["24h"]}`), body: `{"ImagesDeleted":null}`}, {call: `POST /images/prune?filters=` + filterText(`{"label":["prune=$N"],"until":["2100-01-01"]}`), body: `{"ImagesDeleted":["...",{"Deleted":"$X"}]}`}}},
	{name: "images: prune: no time", call: `POST /images/prune?filters=` + filterText(`{"until":["x"]}`), status: 400, since: "1.52",
		message: `invalid value for 'until' filter: failed to parse value as time or duration: invalid seconds "x": invalid syntax`},
	{name: "images: prune: two times", call: `POST /images/prune?filters=` + filterText(`{"until":["1h","2h"]}`), status: 400, message: "more than one until filter specified", since: "1.52"},
}
