package acceptance

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

// dockerfilesForClients are the cases that all clients build: the first five in every run of the tests, all and in the VM too with
// NARU_TEST_FULL=1.
var dockerfilesForClients = []string{
	"from: a named context", "arg: given, default, neither", "mount: secret", "run: it fails", "ignore: the file of a Dockerfile",
	"from: stages by number and name", "run: a here-document", "copy: all", "add: an archive", "copy: not there", "from: target", "label: from the client",
}

// imageBuilders are the ways to an image beside BuildKit's API. Each returns the image's ID, or the error's text.
var imageBuilders = []struct {
	name    string
	compose bool // it labels the image
	build   func(c *clientCase) (id, message string)
}{
	{"naru build", false, func(c *clientCase) (string, string) { return c.script("naru build -q $FLAGS") }},
	{"docker build", false, func(c *clientCase) (string, string) { return c.script("docker build -q $FLAGS") }},
	{"docker buildx build", false, func(c *clientCase) (string, string) { return c.script("docker buildx build -q $FLAGS") }},
	{"naru compose build", true, func(c *clientCase) (string, string) {
		return c.script("cd $DIR && naru compose -f $COMPOSE build -q && naru image inspect -f '{{.Id}}' $TAG")
	}},
	{"docker compose build", true, func(c *clientCase) (string, string) {
		return c.script("cd $DIR && docker compose -f $COMPOSE build -q && naru image inspect -f '{{.Id}}' $TAG")
	}},
	{"POST /build", false, func(c *clientCase) (string, string) { return c.post("") }},
	{"POST /build, version 2", false, func(c *clientCase) (string, string) { return c.post("2") }},
}

// clientCase is a case that a client builds.
type clientCase struct {
	*dockerfile
	t   *testing.T
	b   *builder
	w   *world
	dir string // with the files, as options has written them
	tag string
	env []string
}

// TestDockerfileClients: docker's CLI, naru's and Compose, and both versions of the request that older clients send, build the
// image that BuildKit's API builds, or fail as it does.
func TestDockerfileClients(t *testing.T) {
	requirePlugins(t)
	cli := filepath.Join(peersFolder, "docker-28/bin")
	if _, err := os.Stat(filepath.Join(cli, "docker")); err != nil {
		t.Skipf("%v; run `scripts/peers`", err)
	}
	registry(t)
	if err := inRegistry("tiny"); err != nil {
		t.Fatal(err)
	}
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			if name == "machine" && os.Getenv("NARU_TEST_FULL") == "" {
				t.Skip("each client takes seconds in the VM; run it with NARU_TEST_FULL=1")
			}
			b := naruBuilder(t, name)
			w := inContext(t, name)
			env := []string{
				"PATH=" + cli + ":" + strings.TrimPrefix(w.env[0], "PATH="), "DOCKER_CONFIG=" + pluginConfig(t),
				"DOCKER_HOST=" + w.sh(t, "naru context inspect -f '{{.Socket}}' "+name),
			}
			picked := dockerfilesForClients
			if os.Getenv("NARU_TEST_FULL") == "" {
				picked = picked[:5]
			}
			for i, d := range dockerfiles {
				if slices.Contains(picked, d.name) {
					t.Run(d.name, func(t *testing.T) {
						n := fmt.Sprintf("clients%d", i)
						c := &clientCase{&d, t, b, w, filepath.Join(b.dir, n), n, env}
						c.compare()
					})
				}
			}
		})
	}
}

// compare builds by BuildKit's API, then by each client.
func (c *clientCase) compare() {
	plain, err := c.byAPI(nil)
	labelled, _ := c.byAPI(map[string]string{
		"label:com.docker.compose.project": c.tag, "label:com.docker.compose.service": "s", "label:com.docker.compose.version": c.w.sh(c.t, "docker-compose version --short"),
	})
	defer func() {
		if err == nil {
			c.b.remove(c.t, c.tag)
		}
	}()
	for _, by := range imageBuilders {
		want := plain
		if by.compose {
			want = labelled
		}
		id, message := by.build(c)
		switch {
		case err != nil && !strings.Contains(errorNoise.ReplaceAllString(message, "…"), errorNoise.ReplaceAllString(err.Error(), "…")):
			c.t.Errorf("%s says %q, want %q", by.name, message, err)
		case err == nil && message != "":
			c.t.Errorf("%s: %s", by.name, message)
		case err == nil && id != want && (by.name[:4] != "POST" || c.difference(id, want) != ""):
			c.t.Errorf("%s built %s, not %s:\n%s", by.name, id, want, c.difference(id, want))
		}
	}
}

// byAPI returns the ID of the image with more attributes.
func (c *clientCase) byAPI(more map[string]string) (id string, err error) {
	d := *c.dockerfile
	d.attrs = maps.Clone(d.attrs)
	if d.attrs == nil {
		d.attrs = map[string]string{}
	}
	maps.Copy(d.attrs, more)
	text := strings.NewReplacer("{BASE}", c.b.base, "{WEB}", c.b.web, "{N}", c.tag, "{REG}", registryAddr).Replace
	dir := c.dir
	if more != nil {
		dir += "-labelled"
	}
	if _, err := c.b.solve(c.t, &d, dir, c.tag, text); err != nil {
		return "", err
	}
	img, err := c.b.engine.ImageInspect(c.t.Context(), c.tag)
	if err != nil {
		c.t.Fatal(err)
	}
	return img.ID, nil
}

// difference describes two images where they differ. (A context in a request has another key in the cache, so the same image is made
// once more, at another time.)
func (c *clientCase) difference(got, want string) string {
	a, err := c.b.look(c.t.Context(), got)
	if err != nil {
		return err.Error()
	}
	b, err := c.b.look(c.t.Context(), want)
	if err != nil {
		return err.Error()
	}
	if a == b {
		return ""
	}
	return goldenDiff(b, a)
}

// script builds with a CLI: $FLAGS are its options and the context, $COMPOSE is a Compose file for the same, whose image is $TAG.
func (c *clientCase) script(script string) (id, message string) {
	flags, compose := c.flags()
	file := filepath.Join(c.dir, "compose.yaml")
	if err := os.WriteFile(file, compose, 0o644); err != nil {
		c.t.Fatal(err)
	}
	script = strings.ReplaceAll(script, "$FLAGS", strings.Join(flags, " "))
	r := c.w.exec(result{script: script, extra: append([]string{"COMPOSE=" + file, "TAG=" + c.tag, "DIR=" + c.dir}, c.env...)})
	if r.code != 0 {
		return "", r.stderr + "\n"
	}
	return strings.TrimSpace(r.stdout), ""
}

// flags are the options of a build by CLI, and a Compose file that has them too.
func (c *clientCase) flags() (flags []string, compose []byte) {
	build := map[string]any{"context": filepath.Join(c.dir, "context")}
	under := func(key, name, value string) {
		if build[key] == nil {
			build[key] = map[string]string{}
		}
		build[key].(map[string]string)[name] = value
	}
	flags = []string{"-t", c.tag}
	add := func(flag, value string) { flags = append(flags, flag, "'"+value+"'") }
	for key, value := range c.attrs {
		kind, name, _ := strings.Cut(key, ":")
		switch kind {
		case "build-arg":
			add("--build-arg", name+"="+value)
			under("args", name, value)
		case "label":
			add("--label", name+"="+value)
			under("labels", name, value)
		case "target":
			add("--target", value)
			build["target"] = value
		case "filename":
			add("-f", filepath.Join(c.dir, "context", value))
			build["dockerfile"] = value
		default:
			c.t.Fatalf("no client has an option for %s", key)
		}
	}
	for name := range c.named {
		add("--build-context", name+"="+filepath.Join(c.dir, name))
		under("additional_contexts", name, filepath.Join(c.dir, name))
	}
	all := map[string]any{"services": map[string]any{"s": map[string]any{"image": c.tag, "build": build}}}
	secrets := map[string]any{}
	for id, value := range c.secrets {
		file := filepath.Join(c.dir, "secret-"+id)
		if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
			c.t.Fatal(err)
		}
		add("--secret", "id="+id+",src="+file)
		build["secrets"] = []string{id}
		secrets[id] = map[string]string{"file": file}
	}
	all["secrets"] = secrets
	return append(flags, filepath.Join(c.dir, "context")), must(json.Marshal(all))
}

// post builds as clients do that know no BuildKit, with the context in the request. They cannot give secrets or named contexts,
// and it is they who leave out what is ignored: such cases are built by their CLI in the other ways.
func (c *clientCase) post(version string) (id, message string) {
	if c.secrets != nil || c.named != nil || c.files[".dockerignore"] != "" {
		return c.script("naru build -q $FLAGS")
	}
	o := client.ImageBuildOptions{Tags: []string{c.tag}, Target: c.attrs["target"], BuildArgs: map[string]*string{}, Labels: map[string]string{}}
	if version != "" {
		o.Version = "2"
	}
	for key, value := range c.attrs {
		if name, ok := strings.CutPrefix(key, "build-arg:"); ok {
			o.BuildArgs[name] = &value
		}
		if name, ok := strings.CutPrefix(key, "label:"); ok {
			o.Labels[name] = value
		}
	}
	var body bytes.Buffer
	if err := tarFolder(&body, filepath.Join(c.dir, "context")); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), caseTime)
	defer cancel()
	res, err := c.b.engine.ImageBuild(ctx, &body, o)
	if err != nil {
		return "", err.Error()
	}
	defer res.Body.Close()
	for dec := json.NewDecoder(res.Body); ; {
		var m struct {
			ID    string
			Error string
			Aux   json.RawMessage
		}
		if err := dec.Decode(&m); err != nil {
			if !errors.Is(err, io.EOF) {
				return "", err.Error()
			}
			return id, ""
		}
		if m.Error != "" {
			return "", "failed to solve: " + m.Error // the client of the CLIs says so before the engine's words
		}
		var built struct{ ID string }
		if json.Unmarshal(m.Aux, &built) == nil && built.ID != "" {
			id = built.ID
		}
	}
}

// tarFolder writes a folder as an archive whose files belong to root, as docker's CLI does.
func tarFolder(to io.Writer, dir string) error {
	w := tar.NewWriter(to)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := ""
		if info.Mode()&os.ModeSymlink != 0 {
			if target, err = os.Readlink(path); err != nil {
				return err
			}
		}
		h, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		h.Name, h.Uid, h.Gid, h.Uname, h.Gname = strings.TrimPrefix(path, dir+"/"), 0, 0, "", ""
		if d.IsDir() {
			h.Name += "/"
		}
		if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	return errors.Join(err, w.Close())
}
