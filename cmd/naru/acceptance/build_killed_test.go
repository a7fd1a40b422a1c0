package acceptance

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"naru/platform/paths"
)

// killedBuild is a Dockerfile with what a build leaves when its engine dies: steps on every network, a process that a step
// leaves behind, mounts of each kind. What its image holds is known from $IMG and src/value alone.
const killedBuild = `FROM $IMG AS one
RUN --network=none sleep 0.1; echo one >/one
FROM $IMG
COPY src /src
RUN --mount=type=cache,target=/cache --mount=type=tmpfs,target=/t setsid sleep 98765 & cat /src/value >>/cache/all; cat /src/value >/t/copy; cat /t/copy >/copied
RUN --mount=type=secret,id=s --mount=type=bind,from=one,target=/other sh -c 'sleep 0.2; wc -c </run/secrets/s | cat - /other/one >/seen'
RUN head -c 3000000 /dev/zero | tr '\0' x >/big; mkdir /gone && rmdir /gone; rm /etc/hostname 2>/dev/null; sleep 0.1
COPY --from=one /one /last
`

// builtWhole prints what an image of killedBuild must hold.
const builtWhole = `cat /src/value /copied /seen /last; wc -c </big; ls /run/secrets /cache /t 2>/dev/null | grep -c .`

// TestBuildsKilledAtRandom kills the engine at random moments of builds. The next engine finds nothing of their steps running,
// mounted or connected, without a build of its own; the same builds then give the right images; and in the end, with the cache
// pruned, nothing is left. NARU_TEST_ROUNDS and NARU_TEST_SEED choose how often and which moments.
func TestBuildsKilledAtRandom(t *testing.T) {
	rounds, seed := numberFrom("NARU_TEST_ROUNDS", 1), uint64(numberFrom("NARU_TEST_SEED", 20261126))
	requireBuilt(t, "direct")
	requirePlugins(t)
	w := newWorld(t, "direct")
	t.Cleanup(w.stop)
	temp := filepath.Join(w.work, "temp")
	if err := os.Mkdir(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	w.env = append(w.env, "TMPDIR="+temp) // the engine's too, which must not use it
	b := &killedBuilds{world: w, img: w.image(t, "bookworm"), clients: 2}
	if err := os.WriteFile(filepath.Join(w.work, "secret"), []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.value = make([]string, b.clients)
	b.setValues(t, "first")
	b.buildAll(t)
	b.prune(t)
	before, rules := count(t, w), b.rules(t)
	delete(before, "cgroups")   // nothingRuns looks for those of steps; their parent stays once there was a step
	delete(before, "processes") // of all the host
	random := rand.New(rand.NewPCG(seed, 0))
	cut, kills := 0, 0
	for round := range rounds {
		b.setValues(t, fmt.Sprint("round ", round))
		var all sync.WaitGroup
		ended := make([]int, b.clients)
		for i := range b.clients {
			all.Go(func() { ended[i] = w.exec(b.build(i)).code })
		}
		time.Sleep(300*time.Millisecond + time.Duration(random.IntN(2000))*time.Millisecond) // the random moment
		pid := killNextEngine(t, w, 0, 0)
		kills++
		if random.IntN(3) == 0 { // and the next one, while it takes over
			kills++
			killNextEngine(t, w, pid, time.Duration(random.IntN(100))*time.Millisecond)
		}
		all.Wait()
		for _, code := range ended {
			if code != 0 {
				cut++
			}
		}
		w.sh(t, "naru ps -q")
		b.nothingRuns(t)
		b.buildAll(t)
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(w.home, "engine", "keeper.log"))
			t.Fatalf("round %d of seed %d; keeper.log:\n%s", round, seed, log[max(0, len(log)-8<<10):])
		}
	}
	t.Logf("%d rounds of seed %d, %d builds were cut off", rounds, seed, cut)
	log := string(must(os.ReadFile(filepath.Join(w.home, "engine", "keeper.log"))))
	if deaths := strings.Count(log, "ended unasked"); deaths != kills {
		t.Errorf("the engine was killed %d times and ended %d times; keeper.log:\n%s", kills, deaths, log)
	}
	if got, want := strings.Count(b.sh(t, "naru buildx history ls --format '{{.Status}}'"), "Completed"), min(b.clients*rounds, 50); got < want {
		t.Errorf("the history knows of %d builds, want %d or more", got, want)
	}
	b.prune(t)
	census(t, w, before)
	awaitPool(t, w)
	if after := b.rules(t); after != rules {
		t.Errorf("rules are left:\nbefore only\n%safter only\n%s", linesOnlyIn(rules, after), linesOnlyIn(after, rules))
	}
}

// killedBuilds are clients that build the same Dockerfile, each from a context of its own.
type killedBuilds struct {
	*world
	img     string
	clients int
	value   []string // what each client's image must have in /src/value
}

// setValues gives each client a context that was never built.
func (b *killedBuilds) setValues(t *testing.T, value string) {
	t.Helper()
	for i := range b.clients {
		b.value[i] = fmt.Sprintf("%s of %d\n", value, i)
		dir := filepath.Join(b.work, fmt.Sprint("context", i))
		if err := os.MkdirAll(filepath.Join(dir, "src"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"Dockerfile": strings.ReplaceAll(killedBuild, "$IMG", b.img), "src/value": b.value[i]} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (b *killedBuilds) build(i int) result {
	return result{script: fmt.Sprintf("naru build -q --secret id=s,src=secret -t killed-build%d context%[1]d", i)}
}

// buildAll builds to the end, and looks at the images.
func (b *killedBuilds) buildAll(t *testing.T) {
	t.Helper()
	for i := range b.clients {
		if r := b.exec(b.build(i)); r.code != 0 {
			t.Fatal(r)
		}
		want := b.value[i] + b.value[i] + "4\none\none\n3000000\n0"
		if got := b.sh(t, fmt.Sprintf("naru run --rm --network none killed-build%d sh -c %s", i, quote(builtWhole+"; true"))); got != want {
			t.Errorf("the image holds %q, want %q", got, want)
		}
	}
}

// prune removes the images and the cache.
func (b *killedBuilds) prune(t *testing.T) {
	t.Helper()
	b.sh(t, "naru images -q 'killed-build*' | xargs -r naru rmi -f >/dev/null; naru image prune -f >/dev/null; naru buildx prune -af >/dev/null; naru buildx history rm --all >/dev/null")
}

// rules are those of naru's own table: others' come and go.
func (b *killedBuilds) rules(t *testing.T) string {
	t.Helper()
	return b.sh(t, "nft list table inet "+paths.Home(b.home).Name())
}

// nothingRuns looks for what the steps of a killed engine may have left. A client that came late has built in the new one, which
// may be at the end of it still.
func (b *killedBuilds) nothingRuns(t *testing.T) {
	t.Helper()
	left := ""
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if left = b.leftNow(t); left == "" {
			break
		}
		if time.Now().After(end) {
			t.Errorf("of the builds there is left:\n%s", left)
			break
		}
	}
	if outside := b.sh(t, "ls -A $TMPDIR"); outside != "" {
		t.Errorf("outside of naru's folder there is left:\n%s", outside)
	}
}

// leftNow lists what there is of steps. The folders and caches of a builder that is open are not of a step.
func (b *killedBuilds) leftNow(t *testing.T) string {
	t.Helper()
	return b.inside(t, strings.NewReplacer("HOME", b.home, "NAME", paths.Home(b.home).Name()).Replace(`
for p in /proc/[0-9]*; do tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -E '^(setsid )?sleep 98765|^[^ ]*/crun .*HOME/engine/run/build' | sed "s|^|$p |"; done
find /sys/fs/cgroup -path '*/NAME/buildkit/*' -type d
awk '{print $5}' /proc/self/mountinfo | grep -E 'HOME/engine/run/(build|tmp)/'
find HOME/engine/run/build/crun HOME/engine/run/build/executor HOME/engine/run/build/mounts HOME/engine/run/tmp -mindepth 1 -maxdepth 1 -not \( -type d -empty \) 2>/dev/null |
	grep -v -e /crun/.cache -e 'executor/\(resolv\|hosts\|runc-log\)'
true`))
}
