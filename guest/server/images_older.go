package server

import (
	"encoding/json"
	"time"

	imagetypes "github.com/moby/moby/api/types/image"
)

// Until 1.51 the configuration of an image was a container's: these fields were there whether they were set or not. Until 1.49 those of
// a container that an image cannot have were, too.
const (
	imageConfigBefore152 = `{"Cmd":null,"Entrypoint":null,"Env":null,"Labels":null,"OnBuild":null,"User":"","Volumes":null,"WorkingDir":""}`
	imageConfigBefore150 = `{"AttachStderr":false,"AttachStdin":false,"AttachStdout":false,"Domainname":"","Hostname":"","Image":"",
		"OpenStdin":false,"StdinOnce":false,"Tty":false}`
)

// olderImage is what a client of the version may be told of an image. img is changed.
func olderImage(img *imagetypes.InspectResponse, version string) (any, error) {
	if !lessVersion(version, "1.52") {
		return img, nil
	}
	extra := map[string]any{"Parent": "", "Comment": img.Comment, "DockerVersion": "", "Author": img.Author}
	defaults := []string{imageConfigBefore152}
	if lessVersion(version, "1.50") {
		defaults = append(defaults, imageConfigBefore150)
	}
	config, err := withDefaults(img.Config, defaults...)
	if err != nil {
		return nil, err
	}
	extra["Config"] = config
	if lessVersion(version, "1.45") {
		empty, err := withDefaults(struct{}{}, imageConfigBefore152, imageConfigBefore150)
		if err != nil {
			return nil, err
		}
		extra["Container"], extra["ContainerConfig"] = "", empty
	}
	if lessVersion(version, "1.44") {
		extra["VirtualSize"] = img.Size
		if img.Created == "" {
			img.Created = time.Time{}.Format(time.RFC3339Nano)
		}
	}
	return withFields{img, extra}, nil
}

// withDefaults is a document with the fields of others where it has none of that name.
func withDefaults(document any, defaults ...string) (map[string]any, error) {
	data, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, d := range append(defaults, string(data)) { // what comes later wins
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(d), &fields); err != nil {
			return nil, err
		}
		for name, value := range fields {
			out[name] = value
		}
	}
	return out, nil
}

// olderImages is what a client of the version may be told in a list. list is changed.
func olderImages(list []imagetypes.Summary, version string) any {
	for i := range list {
		s := &list[i]
		if lessVersion(version, "1.51") {
			s.Containers = -1
		}
		if lessVersion(version, "1.43") && len(s.RepoTags)+len(s.RepoDigests) == 0 { // they want a name on every line
			s.RepoTags, s.RepoDigests = []string{"<none>:<none>"}, []string{"<none>@<none>"}
		}
	}
	if !lessVersion(version, "1.44") {
		return list
	}
	return withVirtualSize(list)
}

// withVirtualSize adds the field that clients before API 1.44 read.
func withVirtualSize(list []imagetypes.Summary) any {
	out := make([]any, 0, len(list))
	for _, s := range list {
		out = append(out, withFields{s, map[string]any{"VirtualSize": s.Size}})
	}
	return out
}
