package acceptance

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// apiTime bounds one request of a case; untilTime what a step with until waits for.
const (
	apiTime   = time.Minute
	untilTime = 30 * time.Second
)

// apiEngine is an engine that the table runs against.
type apiEngine struct {
	name    string
	socket  string
	pid     int               // of the first process in dockerd's namespaces
	newest  string            // the newest API version that it speaks
	version string            // of the prefix
	vars    map[string]string // without N
	client  *http.Client

	mu   sync.Mutex // guards done, and that one case runs at a time
	done map[int]*apiResult
}

func newAPIEngine(name, socket string) *apiEngine {
	return &apiEngine{name: name, socket: socket, vars: map[string]string{}, done: map[int]*apiResult{}, client: &http.Client{
		Timeout:       apiTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableCompression: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
		},
	}}
}

// apiAnswer is what an engine answered to one request.
type apiAnswer struct {
	call   string
	status int
	header http.Header
	body   []byte
	err    error
}

// apiResult is what an engine answered to a case: to its preparation as far as that went wrong, its call, and the steps after it.
type apiResult struct {
	vars   *strings.Replacer
	failed string // what of the preparation failed
	main   apiAnswer
	after  []apiAnswer
}

// result runs a case once only: dockerd is compared with naru in two contexts.
func (e *apiEngine) result(n int, c apiCase) *apiResult {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.done[n] == nil {
		e.done[n] = e.run(n, c)
	}
	return e.done[n]
}

// run does all of a case and cleans up after it.
func (e *apiEngine) run(n int, c apiCase) *apiResult {
	own := fmt.Sprintf("case%d", n)
	vars := map[string]string{"N": own}
	for k, v := range e.vars {
		vars[k] = v
	}
	defer e.clean(own, c)
	res := &apiResult{vars: replacer(vars)}
	for _, call := range c.before {
		a := e.ask(call, vars, nil)
		if a.err != nil || a.status >= 400 {
			res.failed = fmt.Sprintf("%s: %d %s %v", call, a.status, bytes.TrimSpace(a.body), a.err)
			return res
		}
	}
	if c.stream != nil {
		res.main = e.askStream(c, vars)
	} else {
		res.main = e.ask(c.call, vars, func(r *http.Request) {
			if c.raw != nil {
				setBody(r, c.raw())
			}
			if c.chunked != "" {
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(replacer(vars).Replace(c.chunked))), -1
				r.Header.Set("Content-Type", "application/json")
			}
			setHeader(r, c.head)
		})
	}
	res.vars = replacer(vars)
	for _, s := range c.after {
		res.after = append(res.after, e.askStep(s, vars))
	}
	res.vars = replacer(vars)
	return res
}

func setBody(r *http.Request, body []byte) {
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
}

// padded is a body with so many spaces behind its first character.
func padded(body string, n int) func() []byte {
	return func() []byte { return []byte(body[:1] + strings.Repeat(" ", n) + body[1:]) }
}

func gzipped(body string) func() []byte {
	return func() []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := io.WriteString(w, body)
		if err = errors.Join(err, w.Close()); err != nil {
			panic(err)
		}
		return b.Bytes()
	}
}

func setHeader(r *http.Request, head map[string]string) {
	for k, v := range head {
		if v == "<absent>" {
			r.Header.Del(k)
			continue
		}
		r.Header.Set(k, v)
	}
}

// askStep sends a step's request, with until as often as is needed.
func (e *apiEngine) askStep(s step, vars map[string]string) apiAnswer {
	for end := time.Now().Add(untilTime); ; {
		a := e.ask(s.call, vars, nil)
		if !s.until || len(a.check(s, replacer(vars))) == 0 || time.Now().After(end) {
			return a
		}
		<-time.After(20 * time.Millisecond) // until asks what has no event of its own
	}
}

var requestLine = regexp.MustCompile(`(?s)^(?:([A-Z]+)=)?([A-Z]+) (/\S*)(?: (.*))?$`)

// request makes the HTTP request of a call, and tells the variable that keeps its answer's Id.
func (e *apiEngine) request(ctx context.Context, call string, vars map[string]string) (*http.Request, string, error) {
	m := requestLine.FindStringSubmatch(call)
	if m == nil {
		return nil, "", fmt.Errorf("%q is no METHOD /path {body}", call)
	}
	path := replacer(vars).Replace(m[3])
	switch {
	case strings.HasPrefix(path, "//"):
		path = path[1:]
	case prefixOf(call) == "":
		path = "/v" + e.version + path
	}
	var body io.Reader
	if m[4] != "" {
		body = strings.NewReader(replacer(vars).Replace(m[4]))
	}
	r, err := http.NewRequestWithContext(ctx, m[2], "http://engine"+path, body)
	if err == nil && m[4] != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, m[1], err
}

var versioned = regexp.MustCompile(`^(?:[A-Z]+=)?[A-Z]+ /v(\d+\.\d+)/`)

// prefixOf is the API version that a call names, or "".
func prefixOf(call string) string {
	if m := versioned.FindStringSubmatch(call); m != nil {
		return m[1]
	}
	return ""
}

func (e *apiEngine) ask(call string, vars map[string]string, change func(*http.Request)) apiAnswer {
	a := apiAnswer{call: call}
	r, keep, err := e.request(context.Background(), call, vars)
	if err != nil {
		a.err = err
		return a
	}
	if change != nil {
		change(r)
	}
	resp, err := e.client.Do(r)
	if err != nil {
		a.err = err
		return a
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	a.body, a.err = io.ReadAll(resp.Body)
	a.keep(keep, vars)
	return a
}

func (a *apiAnswer) keep(name string, vars map[string]string) {
	var answer struct {
		ID string `json:"Id"`
	}
	if name != "" && json.Unmarshal(a.body, &answer) == nil {
		vars[name] = answer.ID
	}
}

// replacer fills in variables, the longest name first.
func replacer(vars map[string]string) *strings.Replacer {
	var pairs []string
	for k, v := range vars {
		pairs = append(pairs, "${"+k+"}", v)
	}
	for length := 12; length > 0; length-- {
		for k, v := range vars {
			if len(k) == length {
				pairs = append(pairs, "$"+k, v)
			}
		}
	}
	return strings.NewReplacer(pairs...)
}

// check returns what is not as the case says.
func (r *apiResult) check(c apiCase) []string {
	if r.failed != "" {
		return []string{"before the call: " + r.failed}
	}
	problems := r.main.check(step{call: c.call, status: c.status, message: c.message, body: c.body}, r.vars)
	for name, want := range c.header {
		got, ok := r.main.header[http.CanonicalHeaderKey(name)]
		if want == "<absent>" && !ok {
			continue
		}
		if !ok || !matchText(r.vars.Replace(want), got[0]) {
			problems = append(problems, fmt.Sprintf("header %s: want %s, got %q", name, want, got))
		}
	}
	for i, s := range c.after {
		problems = append(problems, r.after[i].check(s, r.vars)...)
	}
	return problems
}

func (a *apiAnswer) check(s step, vars *strings.Replacer) []string {
	about := func(problem string) []string {
		return []string{fmt.Sprintf("%s\n\t%s\n\tthe answer: %d %s", s.call, problem, a.status, bytes.TrimSpace(a.body[:min(len(a.body), 800)]))}
	}
	if a.err != nil {
		return about(a.err.Error())
	}
	if s.status != a.status && (s.status != 0 || a.status >= 400) {
		return about(fmt.Sprintf("want status %d, got %d", s.status, a.status))
	}
	if s.message != "" {
		var e map[string]string
		if err := json.Unmarshal(a.body, &e); err != nil || len(e) != 1 || !matchText(vars.Replace(s.message), e["message"]) {
			return about("want message " + vars.Replace(s.message))
		}
	}
	if problems := matchBody(vars.Replace(s.body), a.body); len(problems) > 0 {
		return about(strings.Join(problems, "\n\t"))
	}
	return nil
}

func matchBody(want string, body []byte) []string {
	pattern, err := decode([]byte(want))
	if placeholders[want] != nil {
		pattern, err = want, nil
	}
	switch {
	case want == "":
		return nil
	case want == "<empty>":
		if len(body) > 0 {
			return []string{"want no body"}
		}
		return nil
	case err != nil || !strings.ContainsAny(want[:1], `{["<`):
		if !matchText(want, string(body)) {
			return []string{fmt.Sprintf("want body %q", want)}
		}
		return nil
	}
	got, err := decode(body)
	if err != nil {
		return []string{"body: " + err.Error()}
	}
	return matchJSON("body", pattern, got)
}

// shapeDiff compares all answers with those of dockerd.
func (r *apiResult) shapeDiff(theirs *apiResult, skip func(path string) bool) []string {
	if r.failed != "" || theirs.failed != "" {
		return nil // reported already
	}
	diffs := r.main.shapeDiff(&theirs.main, skip)
	for i := range r.after {
		diffs = append(diffs, r.after[i].shapeDiff(&theirs.after[i], skip)...)
	}
	return diffs
}

func (a *apiAnswer) shapeDiff(theirs *apiAnswer, skip func(path string) bool) []string {
	if a.status != theirs.status {
		return []string{fmt.Sprintf("%s: naru answers %d, dockerd %d %s", a.call, a.status, theirs.status, bytes.TrimSpace(theirs.body[:min(len(theirs.body), 400)]))}
	}
	if x, y := a.header.Get("Content-Type"), theirs.header.Get("Content-Type"); x != y {
		return []string{fmt.Sprintf("%s: naru answers with type %q, dockerd with %q", a.call, x, y)}
	}
	if a.header.Get("Content-Type") != "application/json" {
		return nil
	}
	ours, err1 := decode(a.body)
	other, err2 := decode(theirs.body)
	if err1 != nil || err2 != nil {
		return nil // check has said so
	}
	var diffs []string
	for _, d := range shapeDiff("", ours, other, skip) {
		diffs = append(diffs, a.call+": "+d)
	}
	return diffs
}

// clean removes what a case made under its name.
func (e *apiEngine) clean(own string, c apiCase) {
	all := c.call + strings.Join(c.before, "\n")
	for _, s := range c.after {
		all += s.call
	}
	vars := map[string]string{}
	for _, n := range []string{own, own + "b"} {
		if strings.Contains(all, "/containers") {
			e.ask("DELETE /containers/"+n+"?force=1&v=1", vars, nil)
		}
		for _, kind := range []string{"volumes", "networks", "images"} {
			if regexp.MustCompile(kind+`[^{]*\$\{?N`).MatchString(all) || strings.Contains(all, "/"+kind+"/create") || kind == "images" && strings.Contains(all, "/commit") {
				e.ask("DELETE /"+kind+"/"+n+"?force=1", vars, nil)
			}
		}
	}
}

// apiLess compares "1.N" versions.
func apiLess(a, b string) bool {
	minor := func(v string) int {
		_, m, _ := strings.Cut(v, ".")
		n, _ := strconv.Atoi(m)
		return n
	}
	return minor(a) < minor(b)
}

// prepare makes the containers that all cases share, and learns the engine's newest API version.
func (e *apiEngine) prepare(t *testing.T, img, dir string) {
	t.Helper()
	ping := e.ask("GET //_ping", nil, nil)
	if ping.err != nil || ping.status != http.StatusOK {
		t.Fatalf("%s: ping: %d %v", e.name, ping.status, ping.err)
	}
	e.newest = ping.header.Get("Api-Version")
	e.version = e.newest
	e.vars = map[string]string{"IMG": img, "DIR": dir, "UP": "shared-up", "EXITED": "shared-exited", "CREATED": "shared-created", "REG": strings.TrimSuffix(img, "/bookworm")}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, call := range []string{
		`POST /containers/create?name=$CREATED {"Image":"$IMG","Cmd":["true"],"Labels":{"shared":"created"}}`,
		`POST /containers/create?name=$EXITED {"Image":"$IMG","Cmd":["sh","-c","echo out; echo err >&2; exit 3"],"Labels":{"shared":"exited"}}`,
		`POST /containers/$EXITED/start`, `POST /containers/$EXITED/wait`,
		`POST /containers/create?name=$UP {"Image":"$IMG","Cmd":["sleep","100000"],"Labels":{"shared":"up"},"HostConfig":{"Init":true}}`,
		`POST /containers/$UP/start`,
	} {
		if a := e.ask(call, e.vars, nil); a.err != nil || a.status >= 400 {
			t.Fatalf("%s: %s: %d %s %v", e.name, call, a.status, a.body, a.err)
		}
	}
}
