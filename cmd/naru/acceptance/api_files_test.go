package acceptance

import (
	"archive/tar"
	"bytes"
	"strings"
)

// tarBody is a request's body: an archive of names and contents; a name that ends with a slash is a folder.
func tarBody(files ...string) func() []byte {
	return func() []byte {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		for i := 0; i < len(files); i += 2 {
			hdr := &tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1])), Typeflag: tar.TypeReg}
			if strings.HasSuffix(hdr.Name, "/") {
				hdr.Typeflag, hdr.Mode = tar.TypeDir, 0o755
			}
			_ = w.WriteHeader(hdr) // to memory
			_, _ = w.Write([]byte(files[i+1]))
		}
		_ = w.Close()
		return out.Bytes()
	}
}

const (
	createIt = `POST /containers/create?name=$N {"Image":"$IMG","Cmd":["sleep","1000"]}`
	pathStat = "X-Docker-Container-Path-Stat"
)

// apiFileCases are about the files of containers, and the images and archives that are made of them.
var apiFileCases = []apiCase{
	{name: "archive: look at a file", call: `HEAD /containers/$UP/archive?path=/etc/motd`, status: 200, header: map[string]string{pathStat: "/^[A-Za-z0-9+/]+=*$/"}},
	{name: "archive: look at a file of a container that was never started", call: `HEAD /containers/$CREATED/archive?path=/etc/motd`, status: 200,
		header: map[string]string{pathStat: "/^[A-Za-z0-9+/]+=*$/"}},
	{name: "archive: look at what is not there", call: `HEAD /containers/$UP/archive?path=/none`, status: 404},
	{name: "archive: look at nothing", call: `HEAD /containers/$UP/archive`, status: 400},
	{name: "archive: of no container", call: `GET /containers/nosuch/archive?path=/etc`, status: 404, message: "No such container: nosuch"},
	{name: "archive: no path", call: `GET /containers/$UP/archive`, status: 400, message: "/path/"},
	{name: "archive: a path that is not there", call: `GET /containers/$UP/archive?path=/none/x`, status: 404, message: "Could not find the file /none/x in container $UP"},
	{name: "archive: a file as a folder", call: `GET /containers/$UP/archive?path=/etc/motd/`, status: 500, message: "/not a directory/"},
	{name: "archive: a file", call: `GET /containers/$UP/archive?path=/etc/motd`, status: 200, body: "/^motd\x00/",
		header: map[string]string{"Content-Type": "application/x-tar", pathStat: "/./"}},
	{name: "archive: a folder", call: `GET /containers/$UP/archive?path=/etc/default`, status: 200, body: "/^default/\x00/"},
	{name: "archive: what is in a folder", call: `GET /containers/$UP/archive?path=/etc/default/.`, status: 200, body: "/^\\./\x00/"},
	{name: "archive: a link", call: `GET /containers/$UP/archive?path=/bin`, status: 200, body: "/^bin\x00/"},
	{name: "archive: what a link leads to", call: `GET /containers/$UP/archive?path=/etc/default/../motd`, status: 200, body: "/^motd\x00/"},
	{name: "archive: into a container that was never started", before: []string{createIt}, call: `PUT /containers/$N/archive?path=/`, raw: tarBody("new/", "", "new/f", "x"), status: 200,
		after: []step{{call: `GET /containers/$N/archive?path=/new/f`, body: "/^f\x00/"}}},
	{name: "archive: nothing at all", before: []string{createIt}, call: `PUT /containers/$N/archive?path=/`, raw: func() []byte { return []byte{} }, status: 200},
	{name: "archive: into a file", before: []string{createIt}, call: `PUT /containers/$N/archive?path=/etc/motd`, raw: tarBody("f", "x"), status: 400, message: "extraction point is not a directory"},
	{name: "archive: into what is not there", before: []string{createIt}, call: `PUT /containers/$N/archive?path=/none`, raw: tarBody("f", "x"), status: 404, message: "Could not find the file /none in container $N"},
	{name: "archive: into no path", before: []string{createIt}, call: `PUT /containers/$N/archive`, raw: tarBody("f", "x"), status: 400, message: "/path/"},
	{name: "archive: a file over a folder", before: []string{createIt}, call: `PUT /containers/$N/archive?path=/&noOverwriteDirNonDir=1`, raw: tarBody("etc", "x"), status: 500,
		message: "/cannot overwrite directory .* with non-directory/"},
	{name: "archive: a folder over a file", before: []string{createIt}, call: `PUT /containers/$N/archive?path=/etc&noOverwriteDirNonDir=true`, raw: tarBody("motd/", ""), status: 500,
		message: "/cannot overwrite non-directory .* with directory/"},
	{name: "archive: a folder over a file, wanted", before: []string{createIt}, call: `PUT /containers/$N/archive?path=/etc`, raw: tarBody("motd/", ""), status: 200,
		after: []step{{call: `GET /containers/$N/archive?path=/etc/motd`, body: "/^motd/\x00/"}}},
	{name: "archive: into a read-only root", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","HostConfig":{"ReadonlyRootfs":true}}`},
		call: `PUT /containers/$N/archive?path=/`, raw: tarBody("f", "x"), status: 400, since: "1.45", message: "container rootfs is marked read-only"},
	{name: "archive: into a read-only volume", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","HostConfig":{"Binds":["$DIR:/ro:ro"]}}`},
		call: `PUT /containers/$N/archive?path=/ro`, raw: tarBody("f", "x"), status: 400, since: "1.45", message: "mounted volume is marked read-only"},
	{name: "archive: over a mount point", before: []string{createIt, `POST /containers/$N/start`}, call: `PUT /containers/$N/archive?path=/etc`, raw: tarBody("hosts", "x"), status: 500,
		message: "/device or resource busy/"},
	{name: "archive: a name that leads out", before: []string{createIt}, call: `PUT /containers/$N/archive?path=/etc`, raw: tarBody("../../../out", "x"), status: 500, message: "/./"},
	{name: "archive: no archive", before: []string{createIt}, call: `PUT /containers/$N/archive?path=/`, raw: func() []byte { return bytes.Repeat([]byte("no archive "), 200) }, status: 400, message: "/invalid/",
		differs: "bad archive"},

	{name: "changes: none", call: `GET /containers/$CREATED/changes`, status: 200, body: `/^null/`},
	{name: "changes: no such container", call: `GET /containers/nosuch/changes`, status: 404, message: "No such container: nosuch"},
	{name: "changes: added, changed and removed", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["sh","-c","mkdir /a; echo >/a/b; rm /etc/motd; chmod 700 /opt"]}`,
		`POST /containers/$N/start`, `POST /containers/$N/wait`}, call: `GET /containers/$N/changes`, status: 200,
		body: `["...",{"Path":"/a","Kind":1},{"Path":"/a/b","Kind":1},{"Path":"/etc","Kind":0},{"Path":"/etc/motd","Kind":2},{"Path":"/opt","Kind":0}]`},

	{name: "export: no such container", call: `GET /containers/nosuch/export`, status: 404, message: "No such container: nosuch"},
	{name: "export: a container", call: `GET /containers/$CREATED/export`, status: 200, header: map[string]string{"Content-Type": "application/octet-stream"}, body: "/ustar/"},

	{name: "commit: no such container", call: `POST /commit?container=nosuch`, status: 404, message: "No such container: nosuch"},
	{name: "commit: bad name", call: `POST /commit?container=$CREATED&repo=UPPER`, status: 400, message: "/must be lowercase/"},
	{name: "commit: bad instruction", call: `POST /commit?container=$CREATED&changes=FROM+x`, status: 400, message: "/is not a valid change command/"},
	{name: "commit: with everything", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"],"Env":["A=b"],"Labels":{"l":"m"}}`},
		call:   `POST /commit?container=$N&repo=$N&tag=v1&author=me&comment=why&changes=CMD+echo+hi&changes=ENV+B=${A}x&changes=EXPOSE+80&changes=LABEL+k=v&changes=USER+1&changes=WORKDIR+/w&changes=VOLUME+/v&changes=STOPSIGNAL+SIGINT&changes=HEALTHCHECK+--retries=2+CMD+true&changes=ONBUILD+RUN+x`,
		status: 201, body: `{"Id":"<id>"}`,
		loose: []string{"Config", "GraphDriver", "DockerVersion", "Parent", "Author", "Comment", "Tags"}, // of the image
		after: []step{
			{call: `GET /images/$N:v1/json`, body: `{"Author":"me","Comment":"why","Config":{"Cmd":["/bin/sh","-c","echo hi"],"Env":["...","A=b","B=bx"],"Labels":{"k":"v","l":"m"},"User":"1",
				"WorkingDir":"/w","Volumes":{"/v":{}},"StopSignal":"SIGINT","ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["CMD-SHELL","true"],"Retries":2},"OnBuild":["RUN x"]}}`},
			{call: `GET /images/$N:v1/history`, body: `["...",{"CreatedBy":"true","Comment":"why","Tags":["$N:v1"]}]`},
		}},
	{name: "commit: a config in the body", before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["true"],"Env":["A=b"]}`},
		call: `POST /commit?container=$N&repo=$N {"Cmd":["other"],"Env":["A=c"],"WorkingDir":"/x"}`, status: 201, body: `{"Id":"<id>"}`,
		loose: []string{"Config", "GraphDriver", "DockerVersion", "Parent", "Author", "Comment", "Tags"}, // of the image
		after: []step{{call: `GET /images/$N:latest/json`, body: `{"Config":{"Cmd":["other"],"Env":["...","A=c"],"WorkingDir":"/x"}}`}}},
}
