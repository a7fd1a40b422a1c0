package acceptance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	clientsStart = "<!-- What passes, by client: kept by TestClientsInDocs. -->\n"
	clientsEnd   = "<!-- end -->\n"
)

// TestClientsInDocs: docs/compat.md lists for each client just what the tests do with it, in both contexts unless a line says
// otherwise, so that a step which goes goes from there too. NARU_TEST_UPDATE=1 writes the list.
func TestClientsInDocs(t *testing.T) {
	file := filepath.Join(root, "docs/compat.md")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), clientsStart)
	have, after, ok2 := strings.Cut(rest, clientsEnd)
	if !ok || !ok2 {
		t.Fatalf("docs/compat.md has no list of clients between %q and %q", clientsStart, clientsEnd)
	}
	want := clientsTable(t)
	if have == want {
		return
	}
	if os.Getenv("NARU_TEST_UPDATE") == "" {
		t.Fatalf("docs/compat.md lists for clients\n%s\nthe tests do\n%s\nrun `NARU_TEST_UPDATE=1 go test -run TestClientsInDocs ./cmd/naru/acceptance`", have, want)
	}
	if err := os.WriteFile(file, []byte(before+clientsStart+want+clientsEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func clientsTable(t *testing.T) string {
	t.Helper()
	npm := npmVersions(t)
	var rows []string
	for _, r := range dockerRows {
		rows = append(rows, r.name)
	}
	direct := "; directly only: " + strings.Join(names(devcontainerSteps[devcontainerEverywhere:]), "; ")
	table := "| client | version | what passes |\n|---|---|---|\n"
	for _, c := range []struct{ name, version, passes string }{
		{"docker CLI", "20.10 and 28 (Debian's)", strings.Join(append(rows, "terminal"), "; ")},
		{"buildx", moduleVersion(t, "go.mod", "github.com/docker/buildx"), strings.Join(names(buildxSteps), "; ") + "; directly only"},
		{"Compose", moduleVersion(t, "go.mod", "github.com/docker/compose/v5"), strings.Join(append(names(featureSteps), "a project: "+strings.Join(names(shopSteps), ", ")), "; ")},
		{"`@devcontainers/cli`", npm["@devcontainers/cli"], strings.Join(names(devcontainerSteps[:devcontainerEverywhere]), "; ") + direct},
		{"dockerode", npm["dockerode"], stepsIn(t, "dockerode.js", jsStep)},
		{"testcontainers (Node)", npm["testcontainers"], stepsIn(t, "testcontainers.js", jsStep) + "; with its reaper: " + stepsIn(t, "ryuk.js", jsStep)},
		{"testcontainers-go", moduleVersion(t, "cmd/naru/acceptance/testdata/clients/testcontainers-go/go.mod", "github.com/testcontainers/testcontainers-go"),
			stepsIn(t, "testcontainers-go/main.go", goStep) + "; without Ryuk; directly only"},
		{"act", moduleVersion(t, "cmd/naru/acceptance/testdata/clients/act/go.mod", "github.com/nektos/act"), "a workflow of `run:` steps: outputs, environment, needs, a matrix, a bound working folder; directly only"},
	} {
		table += fmt.Sprintf("| %s | %s | %s |\n", c.name, c.version, strings.ReplaceAll(c.passes, "|", `\|`))
	}
	return table
}

func names(steps []struct{ name, script, want string }) (list []string) {
	for _, s := range steps {
		list = append(list, s.name)
	}
	return list
}

var (
	jsStep = regexp.MustCompile(`(?m)^  \[(?:'([^']*)'|"([^"]*)")`)
	goStep = regexp.MustCompile(`\{"([^"]*)", [a-zA-Z]+\}`)
)

// stepsIn are the names of the steps of a program in testdata/clients.
func stepsIn(t *testing.T, file string, step *regexp.Regexp) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(clientsFolder, file))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range step.FindAllStringSubmatch(string(data), -1) {
		list = append(list, strings.Join(m[1:], ""))
	}
	if len(list) == 0 {
		t.Fatalf("%s has no steps", file)
	}
	return strings.Join(list, "; ")
}

func moduleVersion(t *testing.T, file, module string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^(?:\t|require )` + regexp.QuoteMeta(module) + ` v(\S+)`).FindSubmatch(data)
	if m == nil {
		t.Fatalf("%s does not require %s", file, module)
	}
	return string(m[1])
}

func npmVersions(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(clientsFolder, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Dependencies map[string]string }
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Dependencies
}
