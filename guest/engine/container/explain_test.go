package container

import (
	"strings"
	"testing"
)

func TestExplainRuntime(t *testing.T) {
	for said, want := range map[string]struct {
		code int
		text string
	}{
		"executable file `nosuch` not found in $PATH":                                {exitNotFound, `exec: "x": executable file not found in $PATH`},
		"the path `/etc` exists but it is not executable":                            {exitNotInvoked, "permission denied"},
		"write to `/proc/thread-self/attr/apparmor/exec`: No such file or directory": {exitNotStarted, "unable to apply apparmor profile"},
		"open `/sys/fs/cgroup/x`: No such file or directory":                         {exitNotStarted, "open `/sys"},
	} {
		code, text := explainRuntime("noise\n"+said+"\n", "", "x")
		if code != want.code || !strings.Contains(text, want.text) {
			t.Errorf("%s: %d %s", said, code, text)
		}
	}
}
