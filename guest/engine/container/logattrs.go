package container

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"text/template"
	"time"
)

// logInfo is what the template of the log option tag sees: the fields and methods of Docker's.
type logInfo struct {
	Config              map[string]string
	ContainerID         string
	ContainerName       string
	ContainerEntrypoint string
	ContainerArgs       []string
	ContainerImageID    string
	ContainerImageName  string
	ContainerCreated    time.Time
	ContainerEnv        []string
	ContainerLabels     map[string]string
	LogPath             string
	DaemonName          string
}

// ID is the container's short ID.
func (i *logInfo) ID() string { return i.ContainerID[:12] }

// FullID is the container's ID.
func (i *logInfo) FullID() string { return i.ContainerID }

// Name is the container's name without the slash.
func (i *logInfo) Name() string { return strings.TrimPrefix(i.ContainerName, "/") }

// ImageID is the image's short ID.
func (i *logInfo) ImageID() string {
	_, hex, found := strings.Cut(i.ContainerImageID, ":")
	if !found {
		hex = i.ContainerImageID
	}
	return hex[:min(12, len(hex))]
}

// ImageFullID is the image's ID.
func (i *logInfo) ImageFullID() string { return i.ContainerImageID }

// ImageName is what the container was made from.
func (i *logInfo) ImageName() string { return i.ContainerImageName }

// Command is the command line.
func (i *logInfo) Command() string {
	return strings.Join(append([]string{i.ContainerEntrypoint}, i.ContainerArgs...), " ")
}

// Hostname is that of the machine that runs the engine.
func (i *logInfo) Hostname() (string, error) { return os.Hostname() }

// tagFuncs are those of Docker's templates.
var tagFuncs = template.FuncMap{
	"json": func(v any) (string, error) {
		text, err := json.Marshal(v)
		return string(text), err
	},
	"split": strings.Split, "join": strings.Join, "lower": strings.ToLower, "upper": strings.ToUpper,
	"title": func(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] },
	"pad": func(s string, before, after int) string {
		if s == "" || before < 0 || after < 0 || before > maxPad || after > maxPad {
			return s
		}
		return strings.Repeat(" ", before) + s + strings.Repeat(" ", after)
	},
	"truncate": func(s string, n int) string { return s[:max(0, min(n, len(s)))] },
}

// maxPad keeps a template from making the log's records huge.
const maxPad = 1000

// checkAttrs refuses what logAttrs could not use.
func checkAttrs(o map[string]string) error {
	for _, key := range []string{"labels-regex", "env-regex"} {
		if _, err := regexp.Compile(o[key]); err != nil {
			return err
		}
	}
	_, err := template.New("log-tag").Funcs(tagFuncs).Parse(o["tag"])
	return err
}

// logAttrs are what the options labels, env and tag put into each record; nil for none.
func logAttrs(r *record) (map[string]string, error) {
	o := r.HostConfig.LogConfig.Config
	attrs := map[string]string{}
	if err := pick(attrs, r.Config.Labels, o["labels"], o["labels-regex"]); err != nil {
		return nil, err
	}
	env := map[string]string{}
	for _, kv := range r.Config.Env {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
		}
	}
	if err := pick(attrs, env, o["env"], o["env-regex"]); err != nil {
		return nil, err
	}
	if o["tag"] != "" {
		tag, err := logTag(r, o["tag"])
		if err != nil {
			return nil, err
		}
		if tag != "" {
			attrs["tag"] = tag
		}
	}
	if len(attrs) == 0 {
		return nil, nil
	}
	return attrs, nil
}

// pick copies the pairs that a list of names or an expression chooses.
func pick(into, from map[string]string, names, expression string) error {
	for _, name := range strings.Split(names, ",") {
		if v, ok := from[name]; ok && names != "" {
			into[name] = v
		}
	}
	if expression == "" {
		return nil
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		return err
	}
	for k, v := range from {
		if re.MatchString(k) {
			into[k] = v
		}
	}
	return nil
}

func logTag(r *record, text string) (string, error) {
	tmpl, err := template.New("log-tag").Funcs(tagFuncs).Parse(text)
	if err != nil {
		return "", err
	}
	path, args := r.command()
	var out strings.Builder
	err = tmpl.Execute(&out, &logInfo{
		Config: r.HostConfig.LogConfig.Config, ContainerID: r.ID, ContainerName: "/" + r.Name, ContainerEntrypoint: path,
		ContainerArgs: args, ContainerImageID: r.ImageID, ContainerImageName: r.Config.Image, ContainerCreated: r.Created,
		ContainerEnv: r.Config.Env, ContainerLabels: r.Config.Labels, DaemonName: "naru",
	})
	return out.String(), err
}
