package acceptance

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// row is one case of the table: a script for bash, with the image in $IMG, and a name and a folder of its own, $N. Its exit
// code and stdout must be exactly those given; stderr must match the expression, and be empty where there is none.
type row struct {
	name   string
	script string
	stdin  string
	stdout string
	stderr string // regular expression
	code   int
}

// TestTable runs the same table in both contexts. What a row says must hold in each, and beyond that the results
// must be equal.
func TestTable(t *testing.T) {
	got := map[string]map[string]result{}
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			img := w.image(t, "bookworm")
			got[name] = map[string]result{}
			for i, r := range table() {
				t.Run(r.name, func(t *testing.T) {
					n := fmt.Sprintf("case%d", i)
					res := w.exec(result{script: r.script, stdin: r.stdin, dir: n, extra: []string{"IMG=" + img, "N=" + n, "REG=" + registryAddr}})
					check(t, r, res, strings.NewReplacer("${N}", n, "$IMG", img, "$N", n, "$REG", registryAddr))
					got[name][r.name] = res
					if c := w.exec(result{script: "naru rm -f -v " + n + " " + n + "b >/dev/null 2>&1"}); c.code < 0 {
						t.Errorf("clean up: %s", c)
					}
				})
			}
		})
	}
	if len(got) < len(contexts) {
		return
	}
	for _, r := range table() {
		a, aRan := got["direct"][r.name]
		b, bRan := got["machine"][r.name]
		if aRan && bRan && (normal(a.stdout) != normal(b.stdout) || normal(a.stderr) != normal(b.stderr) || a.code != b.code) {
			t.Errorf("%s differs.\ndirect: %s\nmachine: %s", r.name, a, b)
		}
	}
}

var variable = regexp.MustCompile(`[0-9a-f]{64}|[0-9a-f]{12}|/tmp/naru\S+|127\.0\.0\.1:[0-9]+`)

// normal hides what must differ: IDs, the folders of the installation, and random ports.
func normal(s string) string { return variable.ReplaceAllString(s, "…") }

func check(t *testing.T, r row, res result, vars *strings.Replacer) {
	t.Helper()
	if res.code != r.code || res.stdout != vars.Replace(r.stdout) {
		t.Errorf("want exit code %d, stdout %q; got %s", r.code, vars.Replace(r.stdout), res)
		return
	}
	if r.stderr == "" && res.stderr != "" {
		t.Errorf("stderr is not empty: %s", res)
		return
	}
	if !regexp.MustCompile(vars.Replace(r.stderr)).MatchString(res.stderr) {
		t.Errorf("stderr does not match %q: %s", r.stderr, res)
	}
}

// table is the whole of it; NARU_TEST_ROW, a regular expression, picks rows by name.
func table() []row {
	var rows []row
	for _, part := range [][]row{streamRows, logRows, processRows, fileRows, copyRows, limitRows, securityRows, networkRows, userNetworkRows, lifecycleRows, healthRows, lookRows, listRows, systemRows, imageRows, errorRows} {
		rows = append(rows, part...)
	}
	pick, err := regexp.Compile(os.Getenv("NARU_TEST_ROW"))
	if err != nil {
		panic(err)
	}
	var picked []row
	for _, r := range rows {
		if pick.MatchString(r.name) {
			picked = append(picked, r)
		}
	}
	return picked
}
