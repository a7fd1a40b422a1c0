package server

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// builtBy is what a build gave: its text, and the image's ID.
type builtBy struct{ text, id string }

// buildImage builds from files as an older client does: one request, the context in its body.
func (d *daemon) buildImage(files map[string]string, o client.ImageBuildOptions) (out builtBy, err error) {
	d.t.Helper()
	var context bytes.Buffer
	w := tar.NewWriter(&context)
	for name, content := range files {
		must(d.t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}))
		_, err := io.WriteString(w, content)
		must(d.t, err)
	}
	must(d.t, w.Close())
	res, err := d.ImageBuild(d.t.Context(), &context, o)
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	return readBuild(res.Body)
}

func readBuild(body io.Reader) (out builtBy, err error) {
	for dec := json.NewDecoder(body); ; {
		var m struct {
			Stream string
			Error  string
			ID     string
			Aux    json.RawMessage
		}
		if err := dec.Decode(&m); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return out, err
		}
		if m.Error != "" {
			return out, errors.New(m.Error)
		}
		out.text += m.Stream
		var result build.Result
		if json.Unmarshal(m.Aux, &result) == nil && result.ID != "" {
			out.id = result.ID
		}
	}
}

// TestBuild: images built by the engine, from the step to the container.
func TestBuild(t *testing.T) {
	d := startDaemon(t)
	for _, c := range []struct {
		name       string
		dockerfile string
		options    client.ImageBuildOptions
		cmd        []string
		want       result
		fails      string // part of the error
	}{
		{name: "copy and configuration", dockerfile: "FROM probe\nCOPY f /data/\nENV A=b\nWORKDIR /data\nUSER u\n", cmd: []string{"who"}, want: result{"1000 /data b\n", "", 0}},
		{name: "step", dockerfile: "FROM probe\nRUN [\"/probe\", \"touch\", \"/made\"]\n", cmd: []string{"exists", "/made"}, want: result{"there\n", "", 0}},
		{name: "stages", dockerfile: "FROM probe AS one\nRUN [\"/probe\", \"touch\", \"/one\"]\nFROM probe\nCOPY --from=one /one /two\n", cmd: []string{"exists", "/two"}, want: result{"there\n", "", 0}},
		{name: "target", dockerfile: "FROM probe AS one\nENV A=one\nFROM one\nENV A=two\n", options: client.ImageBuildOptions{Target: "one"}, cmd: []string{"who"}, want: result{"0 / one\n", "", 0}},
		{name: "argument", dockerfile: "FROM probe\nARG X\nENV A=$X\n", options: client.ImageBuildOptions{BuildArgs: map[string]*string{"X": ptr("given")}}, cmd: []string{"who"}, want: result{"0 / given\n", "", 0}},
		{name: "another file", dockerfile: "nonsense", options: client.ImageBuildOptions{Dockerfile: "sub/File"}, cmd: []string{"who"}, want: result{"0 / sub\n", "", 0}},
		{name: "built-in syntax", dockerfile: "# syntax=docker/dockerfile:1.4\nFROM probe\nENV A=x\n", cmd: []string{"who"}, want: result{"0 / x\n", "", 0}},
		{name: "no network", dockerfile: "FROM probe\nRUN --network=none [\"/probe\", \"touch\", \"/made\"]\n", cmd: []string{"exists", "/made"}, want: result{"there\n", "", 0}},
		{name: "from nothing", dockerfile: "FROM scratch\nCOPY --from=probe /probe /probe\nENTRYPOINT [\"/probe\"]\n", cmd: []string{"echo", "hi"}, want: result{"hi\n", "", 0}},
		{name: "foreign syntax", dockerfile: "# syntax=example.test/front:1\nFROM probe\n", fails: `naru does not run the frontend "example.test/front:1"`},
		{name: "failing step", dockerfile: "FROM probe\nRUN [\"/probe\", \"exit\", \"3\"]\n", fails: "did not complete successfully: exit code: 3"},
		{name: "unknown instruction", dockerfile: "FROM probe\nNOPE x\n", fails: "unknown instruction: NOPE"},
		{name: "missing file", dockerfile: "FROM probe\nCOPY nothing /\n", fails: `"/nothing": not found`},
		{name: "insecure step", dockerfile: "FROM probe\nRUN --security=insecure [\"/probe\", \"echo\"]\n", fails: "security.insecure is not allowed"},
		{name: "network of the host, not asked for", dockerfile: "FROM probe\nRUN --network=host [\"/probe\", \"echo\"]\n", fails: "network.host is not allowed"},
		{name: "squash", dockerfile: "FROM probe\n", options: client.ImageBuildOptions{Squash: true}, fails: "squash is only supported with experimental mode"},
		{name: "tag with a digest", dockerfile: "FROM probe\n", options: client.ImageBuildOptions{Tags: []string{"x@sha256:" + strings.Repeat("0", 64)}}, fails: "build tag cannot contain a digest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			part := *d
			part.t = t
			got, err := part.buildImage(map[string]string{"Dockerfile": c.dockerfile, "f": "text", "sub/File": "FROM probe\nENV A=sub\n"}, c.options)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("%v, want %q", err, c.fails)
				}
				return
			}
			must(t, err)
			ran, err := part.run(nil, container.Config{Image: got.id, Cmd: c.cmd}, "")
			must(t, err)
			if ran != c.want {
				t.Errorf("the image gives %v, want %v", ran, c.want)
			}
		})
	}
	t.Run("failing while the context is read", func(t *testing.T) { part := *d; part.t = t; testBuildBody(&part) })
	t.Run("cache", func(t *testing.T) { part := *d; part.t = t; testBuildCache(&part) })
}

func ptr(s string) *string { return &s }

// testBuildCache: what was built is not built again, also by another engine after a kill; and the cache can be emptied
// without the images.
func testBuildCache(d *daemon) {
	t, ctx := d.t, d.t.Context()
	files := map[string]string{"Dockerfile": "FROM probe\nCOPY f /f\nRUN [\"/probe\", \"touch\", \"/made\"]\n", "f": "text"}
	first, err := d.buildImage(files, client.ImageBuildOptions{Tags: []string{"cached", "cached:two"}})
	must(t, err)
	for _, want := range []string{"Successfully built " + first.id[7:19], "Successfully tagged cached:latest", "Successfully tagged cached:two"} {
		if !strings.Contains(first.text, want) {
			t.Errorf("no %q in %s", want, first.text)
		}
	}
	d.killEngine()
	second, err := d.buildImage(files, client.ImageBuildOptions{})
	must(t, err)
	if second.id != first.id || strings.Count(second.text, "CACHED") < 2 {
		t.Errorf("built again: %s, then %s: %s", first.id, second.id, second.text)
	}
	usage, err := d.DiskUsage(ctx, client.DiskUsageOptions{BuildCache: true})
	must(t, err)
	if usage.BuildCache.TotalSize == 0 {
		t.Errorf("the cache takes nothing: %+v", usage.BuildCache)
	}
	report, err := d.BuildCachePrune(ctx, client.BuildCachePruneOptions{All: true})
	must(t, err)
	if len(report.Report.CachesDeleted) == 0 {
		t.Error("nothing was pruned")
	}
	if ran, err := d.run(nil, container.Config{Image: "cached:two", Cmd: []string{"exists", "/made"}}, ""); err != nil || ran.code != 0 {
		t.Errorf("the image after the prune: %v, %v", ran, err)
	}
	files["f"] = fmt.Sprint("other")
	if third, err := d.buildImage(files, client.ImageBuildOptions{}); err != nil || third.id == first.id {
		t.Errorf("with another file: %+v, %v", third, err)
	}
}

// testBuildBody: a build that fails at once leaves its request's body half read. The engine must survive that.
func testBuildBody(d *daemon) {
	log := func() string {
		data, err := os.ReadFile(filepath.Join(d.home, "engine", "keeper.log"))
		must(d.t, err)
		return string(data)
	}
	starts := strings.Count(log(), "engine started")
	files := map[string]string{"Dockerfile": "FROM probe\nRUN --network=host [\"/probe\", \"echo\"]\n", "big": strings.Repeat("x", 1<<20)}
	for i := range 20 {
		files["f"] = fmt.Sprint(i)
		if _, err := d.buildImage(files, client.ImageBuildOptions{NoCache: true}); err == nil || !strings.Contains(err.Error(), "network.host is not allowed") {
			d.t.Fatalf("build %d: %v", i, err)
		}
	}
	if now := strings.Count(log(), "engine started"); now != starts {
		d.t.Errorf("the engine was started %d times, before %d", now, starts)
	}
}
