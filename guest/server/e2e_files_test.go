package server

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// TestFiles copies into and out of real containers, and makes archives and images of them.
func TestFiles(t *testing.T) {
	d := startDaemon(t)
	for name, test := range map[string]func(*daemon){
		"copy": testCopy, "copy refused": testCopyRefused, "copy and start": testCopyWhileStarting, "diff": testDiff, "export": testExport,
		"commit": testCommit, "swap": testSwap,
	} {
		t.Run(name, func(t *testing.T) {
			part := *d
			part.t = t
			test(&part)
		})
	}
}

// tarOf makes an archive of names and contents; a name that ends with a slash is a folder.
func tarOf(t *testing.T, files ...string) io.Reader {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		hdr := &tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1])), Typeflag: tar.TypeReg, ModTime: time.Unix(1e9, 0)}
		if strings.HasSuffix(hdr.Name, "/") {
			hdr.Typeflag, hdr.Mode = tar.TypeDir, 0o755
		}
		must(t, w.WriteHeader(hdr))
		_, err := io.WriteString(w, files[i+1])
		must(t, err)
	}
	must(t, w.Close())
	return &out
}

func (d *daemon) put(id, path string, files ...string) error {
	_, err := d.CopyToContainer(d.t.Context(), id, client.CopyToContainerOptions{DestinationPath: path, Content: tarOf(d.t, files...)})
	return err
}

// get is what is at a path: names with their contents, in the archive's order.
func (d *daemon) get(id, path string) ([]string, error) {
	d.t.Helper()
	r, err := d.CopyFromContainer(d.t.Context(), id, client.CopyFromContainerOptions{SourcePath: path})
	if err != nil {
		return nil, err
	}
	defer r.Content.Close()
	return readTar(d.t, r.Content), nil
}

func readTar(t *testing.T, in io.Reader) (out []string) {
	t.Helper()
	for r := tar.NewReader(in); ; {
		hdr, err := r.Next()
		if err == io.EOF {
			return out
		}
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		out = append(out, hdr.Name, string(content))
	}
}

func testCopy(d *daemon) {
	t := d.t
	bind := t.TempDir()
	must(t, os.WriteFile(filepath.Join(bind, "of-host"), []byte("host"), 0o600))
	hc := func() *container.HostConfig { return &container.HostConfig{Binds: []string{bind + ":/bind", "/vol"}} }
	for _, id := range []string{d.create("copy-created", hc(), container.Config{Cmd: []string{"wait"}}), d.up("copy-running", hc(), "wait")} {
		must(t, d.put(id, "/", "new/", "", "new/f", "content", "bind/in", "b", "vol/v", "v"))
		for path, want := range map[string][]string{
			"/new": {"new/", "", "new/f", "content"}, "/new/.": {"./", "", "./f", "content"}, "/new/f": {"f", "content"},
			"/bind": {"bind/", "", "bind/in", "b", "bind/of-host", "host"}, "/vol/v": {"v", "v"},
		} {
			if got, err := d.get(id, path); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %q %v, want %q", path, got, err, want)
			}
		}
		st, err := d.ContainerStatPath(t.Context(), id, client.ContainerStatPathOptions{Path: "/new/f"})
		if err != nil || st.Stat.Name != "f" || st.Stat.Size != 7 || st.Stat.Mode != 0o644 || !st.Stat.Mtime.Equal(time.Unix(1e9, 0)) {
			t.Errorf("stat: %+v %v", st, err)
		}
		must(t, os.Remove(filepath.Join(bind, "in")))
		_, err = d.ContainerRemove(t.Context(), id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		must(t, err)
	}
}

func testCopyRefused(d *daemon) {
	t := d.t
	id := d.create("refused", &container.HostConfig{ReadonlyRootfs: true, Binds: []string{t.TempDir() + ":/ro:ro", "/rw"}}, container.Config{Cmd: []string{"wait"}})
	for path, want := range map[string]string{"/": "container rootfs is marked read-only", "/ro": "mounted volume is marked read-only", "/etc/passwd": "extraction point is not a directory"} {
		if err := d.put(id, path, "f", "x"); !cerrdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("into %s: %v, want %s", path, err, want)
		}
	}
	must(t, d.put(id, "/rw", "f", "x"))
	if err := d.put(id, "/none", "f", "x"); !cerrdefs.IsNotFound(err) || !strings.Contains(err.Error(), "Could not find the file /none in container "+id) {
		t.Errorf("into what is not there: %v", err)
	}
	if _, err := d.get(id, "/none"); !cerrdefs.IsNotFound(err) || !strings.Contains(err.Error(), "Could not find the file /none in container "+id) {
		t.Errorf("of what is not there: %v", err)
	}
	if _, err := d.get("none", "/"); !cerrdefs.IsNotFound(err) || !strings.Contains(err.Error(), "No such container: none") {
		t.Errorf("of no container: %v", err)
	}
}

// testCopyWhileStarting starts and removes a container whose files are being read: neither waits for the reader, and nothing
// stays mounted.
func testCopyWhileStarting(d *daemon) {
	t, ctx := d.t, d.t.Context()
	id := d.create("busy", nil, container.Config{Cmd: []string{"wait"}})
	must(t, d.put(id, "/", "big", strings.Repeat("x", 8<<20)))
	r, err := d.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: "/big"})
	must(t, err)
	defer r.Content.Close()
	_, err = d.ContainerStart(ctx, id, client.ContainerStartOptions{})
	must(t, err)
	must(t, d.put(id, "/", "late", "l"))
	if got, err := d.get(id, "/late"); err != nil || got[1] != "l" {
		t.Errorf("what was copied after the start: %q %v", got, err)
	}
	if got := readTar(t, r.Content); len(got) != 2 || len(got[1]) != 8<<20 {
		t.Error("the file did not come whole")
	}
	_, err = d.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
	must(t, err)
}

func testDiff(d *daemon) {
	t := d.t
	id := d.up("diff", nil, "touch", "/made")
	d.waitEnd(id, container.WaitConditionNotRunning)
	must(t, d.put(id, "/", "notexec", "changed", "a/", "", "a/b", "c"))
	got, err := d.ContainerDiff(t.Context(), id, client.ContainerDiffOptions{})
	must(t, err)
	want := []container.FilesystemChange{
		{Kind: container.ChangeAdd, Path: "/a"}, {Kind: container.ChangeAdd, Path: "/a/b"}, {Kind: container.ChangeAdd, Path: "/made"},
		{Kind: container.ChangeModify, Path: "/notexec"},
	}
	if !slices.Equal(got.Changes, want) {
		t.Errorf("changes %v, want %v", got.Changes, want)
	}
	fresh := d.up("fresh", nil, "wait")
	if got, err := d.ContainerDiff(t.Context(), fresh, client.ContainerDiffOptions{}); err != nil || len(got.Changes) > 0 {
		t.Errorf("changes of a fresh container: %v %v", got.Changes, err)
	}
}

func testExport(d *daemon) {
	t := d.t
	id := d.up("export", &container.HostConfig{Binds: []string{t.TempDir() + ":/etc/bound"}}, "wait")
	must(t, d.put(id, "/", "own", "o", "etc/bound/not-own", "n"))
	r, err := d.ContainerExport(t.Context(), id, client.ContainerExportOptions{})
	must(t, err)
	defer r.Close()
	got := readTar(t, r)
	for name, want := range map[string]bool{"own": true, "probe": true, "etc/passwd": true, "etc/bound/": true, "etc/bound/not-own": false, "proc/self": false} {
		if slices.Contains(got, name) != want {
			t.Errorf("%s is in the archive: %v", name, !want)
		}
	}
}

func testCommit(d *daemon) {
	t, ctx := d.t, d.t.Context()
	id := d.create("commit", nil, container.Config{Cmd: []string{"exists", "/etc/passwd"}, Env: []string{"A=b"}, Labels: map[string]string{"x": "y"}})
	must(t, d.put(id, "/", "added", "a"))
	events := d.Events(ctx, client.EventsListOptions{Filters: client.Filters{}.Add("event", "commit")})
	res, err := d.ContainerCommit(ctx, id, client.ContainerCommitOptions{
		Reference: "committed:v1", Comment: "why", Author: "who", Changes: []string{`CMD ["exists","/added"]`, "ENV B=$A-c", "WORKDIR /w"},
	})
	must(t, err)
	img, err := d.ImageInspect(ctx, "committed:v1")
	must(t, err)
	c := img.Config
	if img.ID != res.ID || img.Author != "who" || img.Comment != "why" || len(img.RootFS.Layers) != 2 || c.WorkingDir != "/w" ||
		!slices.Equal(c.Env, []string{"A=b", "B=b-c"}) || !slices.Equal(c.Cmd, []string{"exists", "/added"}) || c.Labels["x"] != "y" || c.Labels["from"] != "image" {
		t.Errorf("image: %+v %+v", img, c)
	}
	m := <-events.Messages
	if m.Actor.ID != id || m.Actor.Attributes["imageID"] != res.ID || m.Actor.Attributes["imageRef"] != "committed:v1" || m.Actor.Attributes["comment"] != "why" {
		t.Errorf("event: %+v", m)
	}
	if got, err := d.run(nil, container.Config{Image: "committed:v1"}, ""); err != nil || got.code != 0 || got.out != "there\n" {
		t.Errorf("run of the committed image: %v %v", got, err)
	}
	again := d.create("again", nil, container.Config{Image: "committed:v1"})
	if res, err = d.ContainerCommit(ctx, again, client.ContainerCommitOptions{}); err != nil {
		t.Fatal(err)
	}
	if img, err = d.ImageInspect(ctx, res.ID); err != nil || len(img.RootFS.Layers) != 2 {
		t.Errorf("commit of no changes: layers %v, %v", img.RootFS.Layers, err)
	}
	history, err := d.ImageHistory(ctx, res.ID)
	must(t, err)
	if h := history.Items; len(h) != 3 || h[1].CreatedBy != "exists /etc/passwd" || h[1].Comment != "why" {
		t.Errorf("history: %+v", h)
	}
	for change, want := range map[string]string{"SHELL x": "SHELL is not a valid change command", "CMD": "CMD requires at least one argument"} {
		_, err := d.ContainerCommit(ctx, id, client.ContainerCommitOptions{Changes: []string{change}})
		if !cerrdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("change %q: %v", change, err)
		}
	}
}

// testSwap copies into and out of a folder that a process in the container swaps for a link to the outside all the while.
func testSwap(d *daemon) {
	t := d.t
	canary := t.TempDir()
	must(t, os.WriteFile(filepath.Join(canary, "secret"), []byte("canary"), 0o600))
	id := d.up("swap", nil, "swap", "/d", canary)
	d.ready(id)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		_ = d.put(id, "/", "d/secret", "overwritten", "d/x", "x") // fails often: the folder is a link, or not there
		if got, err := d.get(id, "/d"); err == nil && slices.Contains(got, "canary") {
			t.Fatal("the file outside came out")
		}
		if got, err := d.get(id, "/d/secret"); err == nil && slices.Contains(got, "canary") {
			t.Fatal("the file outside came out")
		}
	}
	files, err := os.ReadDir(canary)
	must(t, err)
	if content, _ := os.ReadFile(filepath.Join(canary, "secret")); len(files) != 1 || string(content) != "canary" {
		t.Errorf("outside has changed: %v %q", files, content)
	}
}
