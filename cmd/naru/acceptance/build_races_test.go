package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// cacheRace counts in a cache: without a lock counts are lost.
const cacheRace = `FROM $IMG
ARG WHO
RUN --mount=type=cache,id=locked,target=/c,sharing=locked n=$(cat /c/n 2>/dev/null || echo 0); sleep 0.2; echo $((n+1)) >/c/n; cat /c/n >/locked
RUN --mount=type=cache,id=shared,target=/c,sharing=shared touch /c/$WHO; i=0; while [ $(ls /c | wc -l) -lt $ALL ]; do i=$((i+1)); [ $i -lt 600 ] || exit 1; sleep 0.1; done; echo met >/shared
RUN --mount=type=cache,id=private,target=/c,sharing=private [ ! -e /c/busy ] && touch /c/busy && sleep 0.3 && rm /c/busy && echo alone >/private
`

// TestCacheMountRaces: builds at the same time share a cache as its sharing says.
func TestCacheMountRaces(t *testing.T) {
	requirePlugins(t)
	w := inContext(t, "direct")
	const all = 3
	dockerfile := strings.NewReplacer("$IMG", w.image(t, "bookworm"), "$ALL", fmt.Sprint(all)).Replace(cacheRace)
	if err := os.MkdirAll(filepath.Join(w.work, "races"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.work, "races/Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.exec(result{script: "naru rmi race0 race1 race2; naru buildx prune -af; rm -r races"}) })
	var builds sync.WaitGroup
	results := make([]result, all)
	for i := range all {
		builds.Go(func() {
			results[i] = w.exec(result{script: fmt.Sprintf("naru build -q --build-arg WHO=w%d -t race%[1]d races", i)})
		})
	}
	builds.Wait()
	seen := map[string]bool{}
	for i, r := range results {
		if r.code != 0 {
			t.Fatal(r)
		}
		got := w.sh(t, fmt.Sprintf("naru run --rm --network none race%d cat /shared /private /locked", i))
		n, ok := strings.CutPrefix(got, "met\nalone\n")
		if !ok || seen[n] {
			t.Errorf("build %d: %q; before: %v", i, got, seen)
		}
		seen[n] = true
	}
}

// TestBuildCancelled: when a build's client goes, by Ctrl+C or by a kill, its step is killed, and nothing of it stays.
func TestBuildCancelled(t *testing.T) {
	requirePlugins(t)
	w := inContext(t, "direct")
	b := &killedBuilds{world: w}
	script := fmt.Sprintf("printf 'FROM %s\\nRUN --mount=type=cache,target=/c sleep 98768\\n' | exec naru build -", w.image(t, "bookworm"))
	w.sh(t, "naru run --rm "+w.image(t, "bookworm")+" true")
	before := b.rules(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		cmd := exec.Command("bash", "-c", script)
		cmd.Env, cmd.Dir = w.env, w.work
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := os.MkdirAll(w.work, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stepRuns := func() bool { return w.sh(t, "ps -eo args | grep -c '^sleep 98768'; true") != "0" }
		await(t, "the step to run", time.Minute, stepRuns)
		if err := syscall.Kill(-cmd.Process.Pid, signal); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		await(t, fmt.Sprintf("the step to end after %v", signal), 20*time.Second, func() bool { return !stepRuns() })
	}
	await(t, "all of the step to go", 30*time.Second, func() bool { return b.leftNow(t) == "" })
	await(t, "the rules to be those of before", 30*time.Second, func() bool { return b.rules(t) == before })
}

func await(t *testing.T, what string, most time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", most, what)
		}
	}
}
