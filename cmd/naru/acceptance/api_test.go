package acceptance

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// apiCase is one case of the API's table. It runs against naru directly and in the VM, and against a real dockerd where
// one can run: what the case says must hold for each, and the shape of the answers (keys and types of the JSON) must be
// equal. A new area is a file api_<area>_test.go with a slice of cases, named in apiTable.
//
//	{
//		name:   "update: memory",
//		before: []string{`POST /containers/create?name=$N {"Image":"$IMG","Cmd":["sleep","1000"]}`, `POST /containers/$N/start`},
//		call:   `POST /containers/$N/update {"Memory":67108864,"MemorySwap":-1}`,
//		status: 200, body: `{"Warnings": "<list>"}`,
//		after:  []step{{call: `GET /containers/$N/json`, status: 200, body: `{"HostConfig":{"Memory":67108864}}`}},
//	}
//
// A request is written `METHOD /path?query {"body":…}`; a body is sent as application/json. The path gets a prefix with the
// newest API version that both naru and dockerd speak, unless it has one (/v1.44/…) or begins with // (sent as /…).
// `X=POST …` keeps the answer's Id as $X (of an exec: `E=POST /containers/$UP/exec {…}`).
//
// Variables: $N and ${N}b are names of the case's own for containers, volumes, networks and images; what carries them is
// removed afterwards. $IMG is a Debian image. $UP, $EXITED and $CREATED are containers that all cases share, and must leave
// as they are: running `sleep`, ended with exit code 3, never started. $DIR is a folder that can be bound. $V is the API
// version of the prefix, $REG a registry that needs no login.
//
// Answers are matched by patterns: see matchJSON.
type apiCase struct {
	name    string            // "area: what is asked"
	before  []string          // requests that must not fail (status below 400)
	call    string            // the request under test
	head    map[string]string // its header
	raw     func() []byte     // its body, where that is not JSON
	chunked string            // its body, sent without a length
	stream  *string           // the connection becomes a stream: this is sent, then the sending side is closed; see apiStream
	status  int               // wanted
	message string            // of an error, {"message": …}: exactly this, or /a regular expression/
	body    string            // JSON pattern; for a body that is not JSON exactly this, or /a regular expression/
	header  map[string]string // of the answer: exactly this, /a regular expression/, or "<absent>"
	after   []step            // what it has done: requests with what they must answer
	since   string            // the API version of the first dockerd that does so: older ones are not compared
	differs string            // naru means to differ from dockerd: the key of the reason in docs/compat.md
	loose   []string          // paths in the body, "State.Pid", below which the shape is not compared with dockerd's
}

// step is a request and what it must answer. With until it is sent again until it does, for what takes a while.
type step struct {
	call    string
	status  int // 0: anything below 400
	message string
	body    string
	until   bool
}

// apiTable is all cases; NARU_TEST_CASE, a regular expression, picks some by name.
var apiTable = slices.Concat(
	apiRouterCases,
	apiContainerCases,
	apiLogCases,
	apiFileCases,
	apiListCases,
	apiImageCases, apiImageStoreCases,
	apiVolumeCases,
	apiSystemCases,
	apiLifecycleCases,
	apiLimitCases,
	apiLookCases, apiNetworkCases,
)

// shapeSince is the API version of the oldest dockerd whose answers are compared key by key: of a version that it does not have it
// answers in its own, and what has come and gone since says nothing about naru.
const shapeSince = "1.45"

// TestAPI runs the table. NARU_TEST_DOCKER is the folder of another dockerd to compare with, or "none".
func TestAPI(t *testing.T) {
	pick, err := regexp.Compile(os.Getenv("NARU_TEST_CASE"))
	if err != nil {
		t.Fatal(err)
	}
	docker := startDocker(t)
	t.Run("docker", func(t *testing.T) {
		if docker == nil {
			t.Skip("no dockerd to compare with; run `scripts/peers`")
		}
		eachCase(t, pick, func(t *testing.T, n int, c apiCase) {
			if c.skipDocker(docker) {
				t.Skipf("dockerd of API %s is older than %s", docker.newest, c.since)
			}
			problems := docker.result(n, c).check(c)
			switch {
			case c.differs == "" && len(problems) > 0:
				t.Errorf("dockerd answers otherwise than the case says:\n%s", strings.Join(problems, "\n"))
			case c.differs != "":
				t.Logf("differs (%s): %s", c.differs, strings.Join(problems, "\n"))
			}
		})
	})
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			e := naruAPI(t, name, docker)
			eachCase(t, pick, func(t *testing.T, n int, c apiCase) { runCase(t, n, c, e, docker) })
		})
	}
}

// runCase compares naru with what the case says and, at the same time, with dockerd.
func runCase(t *testing.T, n int, c apiCase, naru, docker *apiEngine) {
	var theirs *apiResult
	var wg sync.WaitGroup
	if docker != nil && !c.skipDocker(docker) {
		wg.Go(func() { theirs = docker.result(n, c) })
	}
	ours := naru.run(n, c)
	wg.Wait()
	if problems := ours.check(c); len(problems) > 0 {
		t.Errorf("%s", strings.Join(problems, "\n"))
	}
	if theirs == nil || apiLess(docker.newest, shapeSince) {
		return
	}
	shape := ours.shapeDiff(theirs, docker.skipShape(c.loose))
	if c.differs == "" && len(shape) > 0 {
		t.Errorf("the answer has another shape than dockerd's:\n%s", strings.Join(shape, "\n"))
	}
	if c.differs != "" && len(shape) == 0 && len(theirs.check(c)) == 0 {
		t.Errorf("dockerd does just the same: it does not differ in %q", c.differs)
	}
}

func eachCase(t *testing.T, pick *regexp.Regexp, f func(t *testing.T, n int, c apiCase)) {
	for n, c := range apiTable {
		if pick.MatchString(c.name) {
			t.Run(c.name, func(t *testing.T) { f(t, n, c) })
		}
	}
}

// skipDocker: what a dockerd older than the case's API version does says nothing.
func (c *apiCase) skipDocker(docker *apiEngine) bool {
	if c.since != "" && apiLess(docker.newest, c.since) {
		return true
	}
	v := prefixOf(c.call)
	return v != "" && apiLess(docker.newest, v) && c.since == ""
}

// TestAPICompat: docs/compat.md lists each intended difference that a case names, and no other.
func TestAPICompat(t *testing.T) {
	data, err := os.ReadFile(root + "/docs/compat.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(data), "\n## Intended differences\n")
	table, _, _ = strings.Cut(table, "\n## ")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1) {
		listed[m[1]] = false
	}
	seen := map[string]bool{}
	use := func(key, by string) {
		if _, ok := listed[key]; !ok {
			t.Errorf("docs/compat.md has no line for %q of %s", key, by)
		}
		listed[key] = true
	}
	for _, c := range apiTable {
		if seen[c.name] {
			t.Errorf("two cases are called %q", c.name)
		}
		seen[c.name] = true
		if c.differs != "" {
			use(c.differs, fmt.Sprintf("case %q", c.name))
		}
	}
	for _, d := range dockerfiles {
		if d.differs != "" {
			use(d.differs, fmt.Sprintf("Dockerfile %q", d.name))
		}
	}
	for path, d := range shapeDiffers {
		use(d.key, "shape of "+path)
	}
	for key, used := range listed {
		if !used {
			t.Errorf("docs/compat.md lists %q, which no case shows", key)
		}
	}
}
