package doctor

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"naru/platform/paths"
)

// TestExamine: a test's program stands alone, so everything else of naru is missing; that is a problem only for the
// context that needs it.
func TestExamine(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:3128")
	t.Setenv("HTTPS_PROXY", "http://:8080")
	t.Setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
	r := Examine(t.Context(), Options{Home: paths.Home(filepath.Join(t.TempDir(), "naru")), Version: "1", Context: "machine"})
	for _, want := range []Finding{
		{Area: "naru", Status: Problem, Text: "naru-machine"},
		{Area: "naru", Status: Note, Text: "docker-buildx"},
		{Area: "network", Status: Note, Text: "HTTP_PROXY names this host's loopback (127.0.0.1:3128)"},
		{Area: "network", Status: Problem, Text: "HTTPS_PROXY is no URL of a proxy"},
		{Area: "network", Status: Note, Text: "DOCKER_HOST is set: commands go to tcp://10.0.0.1:2375"},
	} {
		if !slices.ContainsFunc(r.Findings, func(f Finding) bool {
			return f.Area == want.Area && f.Status == want.Status && strings.Contains(f.Text, want.Text)
		}) {
			t.Errorf("no finding is like %+v in\n%+v", want, r.Findings)
		}
	}
	if r.Problems() < 2 {
		t.Errorf("%d problems", r.Problems())
	}
}

func TestFolderTooLong(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("pipes of Windows have no such limit; on Linux or macOS: go test ./host/doctor")
	}
	r := &Report{Context: "machine"}
	r.home(paths.Home(filepath.Join(t.TempDir(), strings.Repeat("long/", 40))))
	if r.Problems() == 0 || !strings.Contains(r.Findings[len(r.Findings)-1].Text, "choose a shorter NARU_HOME") {
		t.Errorf("found %+v", r.Findings)
	}
}

func TestNameservers(t *testing.T) {
	got := nameservers("# nameserver 9.9.9.9\nsearch x\nnameserver 10.0.0.1\nnameserver ::1 # here\nnameserver\n")
	if !slices.Equal(got, []string{"10.0.0.1", "::1"}) {
		t.Errorf("servers %q", got)
	}
}
