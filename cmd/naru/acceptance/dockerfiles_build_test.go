package acceptance

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	buildkit "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
	"github.com/moby/moby/client"
	"github.com/tonistiigi/fsutil"
)

// builder is an engine that builds.
type builder struct {
	context string // "docker", "direct", "machine"
	engine  *client.Client
	newest  string // the newest API version that it speaks
	base    string
	web     string
	dir     string // for contexts
	agent   string // socket of an SSH agent
	baseIDs []string
	layers  map[string]layerTree // those that were read, by their names in saved images
}

// oldestPeer is the newest API version of the oldest dockerd that is compared with, 28.3.
const oldestPeer = "1.51"

// dockerBuilder is dockerd, or nil where there is none, or an old one.
func dockerBuilder(t *testing.T) *builder {
	t.Helper()
	e := startDocker(t)
	if e == nil {
		t.Log("no dockerd to compare with; run `scripts/peers`")
		return nil
	}
	if apiLess(e.newest, oldestPeer) {
		t.Logf("not compared with a dockerd of API %s: it is older than %s", e.newest, oldestPeer)
		return nil
	}
	b := newBuilder(t, "docker", e.socket)
	b.newest = e.newest
	b.web = webIn(t, e.pid)
	return b
}

func naruBuilder(t *testing.T, context string) *builder {
	t.Helper()
	w := inContext(t, context)
	w.sh(t, "naru version") // the engine is up from then on
	b := newBuilder(t, context, strings.TrimPrefix(w.sh(t, "naru context inspect -f '{{.Socket}}' "+context), "unix://"))
	b.web = webIn(t, 0)
	return b
}

func newBuilder(t *testing.T, context, socket string) *builder {
	t.Helper()
	engine, err := client.New(client.WithHost("unix://" + socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	b := &builder{context: context, engine: engine, base: registryAddr + "/tiny", dir: t.TempDir(), agent: sshAgent(t), layers: map[string]layerTree{}}
	pull, err := engine.ImagePull(t.Context(), b.base, client.ImagePullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := pull.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	img, err := engine.ImageInspect(t.Context(), b.base)
	if err != nil {
		t.Fatal(err)
	}
	b.baseIDs = img.RootFS.Layers
	return b
}

// connect speaks BuildKit's API through the engine's socket, as buildx does.
func (b *builder) connect(t *testing.T) *buildkit.Client {
	t.Helper()
	c, err := buildkit.New(t.Context(), "",
		buildkit.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return b.engine.DialHijack(ctx, "/grpc", "h2c", nil)
		}),
		buildkit.WithSessionDialer(func(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
			return b.engine.DialHijack(ctx, "/session", proto, meta)
		}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// outcome builds a case, and says what came of it.
func (b *builder) outcome(t *testing.T, i int, d *dockerfile) string {
	n := fmt.Sprintf("dockerfile%d", i)
	text := strings.NewReplacer("{BASE}", b.base, "{WEB}", b.web, "{FIRST}", n+"-first", "{N}", n, "{REG}", registryAddr).Replace
	hide := strings.NewReplacer(b.base, "{BASE}", registryAddr, "{REG}", b.web, "{WEB}", n+"-first", "{FIRST}", n, "{N}", strings.TrimPrefix(b.web, "http://"), "{WEB}")
	dir := filepath.Join(b.dir, n)
	if d.first != "" {
		if _, err := b.solve(t, &dockerfile{text: d.first}, dir+"-first", n+"-first", text); err != nil {
			t.Errorf("%s: build the first: %v", b.context, err)
			return ""
		}
		defer b.remove(t, n+"-first")
	}
	warnings, err := b.solve(t, d, dir, n, text)
	if err != nil {
		return hide.Replace(warnings + "error: " + plainError(err) + "\n")
	}
	defer b.remove(t, n)
	img, err := b.look(t.Context(), n)
	if err != nil {
		t.Errorf("%s: %v", b.context, err)
		return ""
	}
	return hide.Replace(warnings + img)
}

func (b *builder) remove(t *testing.T, name string) {
	if _, err := b.engine.ImageRemove(context.WithoutCancel(t.Context()), name, client.ImageRemoveOptions{Force: true}); err != nil {
		t.Logf("%s: %v", b.context, err)
	}
}

// solve builds the image name, and returns the warnings.
func (b *builder) solve(t *testing.T, d *dockerfile, dir, name string, text func(string) string) (warnings string, err error) {
	o, err := b.options(d, dir, text)
	if err != nil {
		t.Errorf("%s: prepare: %v", b.context, err)
		return "", err
	}
	o.Exports = []buildkit.ExportEntry{{Type: "moby", Attrs: map[string]string{"name": name}}}
	c := b.connect(t)
	defer c.Close()
	status := make(chan *buildkit.SolveStatus)
	var lines []string
	var wg sync.WaitGroup
	wg.Go(func() {
		for s := range status {
			for _, w := range s.Warnings {
				lines = append(lines, fmt.Sprintf("warning: %s\n", w.Short))
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), caseTime)
	defer cancel()
	_, err = c.Solve(ctx, nil, o, status)
	wg.Wait()
	return sortedUnique(lines), err
}

// options are the request of a case. Its files are written into dir.
func (b *builder) options(d *dockerfile, dir string, text func(string) string) (o buildkit.SolveOpt, err error) {
	name := d.attrs["filename"]
	if name == "" {
		name = "Dockerfile"
	}
	files := map[string]string{name: d.text}
	for path, content := range d.files {
		files[path] = content
	}
	o = buildkit.SolveOpt{
		// BuildKit keeps what it has fetched for the next context of the same key, whose folders get other times then.
		SharedKey: dir,
		Frontend:  "dockerfile.v0", FrontendAttrs: map[string]string{}, AllowedEntitlements: d.allow, LocalMounts: map[string]fsutil.FS{},
	}
	for key, value := range d.attrs {
		o.FrontendAttrs[key] = text(value)
	}
	mounts := map[string]map[string]string{"context": files}
	for key, content := range d.named {
		mounts[key] = content
		o.FrontendAttrs["context:"+key] = "local:" + key
	}
	for mount, content := range mounts {
		if err := writeFiles(filepath.Join(dir, mount), content, text); err != nil {
			return o, err
		}
		if o.LocalMounts[mount], err = fsutil.NewFS(filepath.Join(dir, mount)); err != nil {
			return o, err
		}
	}
	o.LocalMounts["dockerfile"] = o.LocalMounts["context"]
	o.Session, err = b.attachables(d)
	return o, err
}

func (b *builder) attachables(d *dockerfile) (out []session.Attachable, err error) {
	if d.secrets != nil {
		secrets := map[string][]byte{}
		for id, value := range d.secrets {
			secrets[id] = []byte(value)
		}
		out = append(out, secretsprovider.FromMap(secrets))
	}
	if d.ssh {
		agent, err := sshprovider.NewSSHAgentProvider([]sshprovider.AgentConfig{{Paths: []string{b.agent}}})
		if err != nil {
			return nil, err
		}
		out = append(out, agent)
	}
	return out, nil
}

// webIn serves webFiles on loopback in the network of a process, or in that of the tests, and returns its URL.
func webIn(t *testing.T, pid int) string {
	t.Helper()
	var listener net.Listener
	var err error
	if pid == 0 {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	} else {
		var packets net.PacketConn
		packets, listener = listenIn(t, pid, "127.0.0.1:0")
		err = packets.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: webFiles(t)}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return "http://" + listener.Addr().String()
}
