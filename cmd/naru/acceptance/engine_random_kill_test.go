package acceptance

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"naru/platform/paths"
)

// A container's place is its state and its memory limit, as inspect tells them: "running/0". absent is one that is not there.
const absent = "absent"

// renamed is behind a container's name for as long as it has another one.
const renamed = "-r"

// kept is what a client believes of its containers: the states that each may be in. What was acknowledged leaves one
// state; what an engine's death interrupted leaves the one before, too.
type kept struct {
	name  string // prefix of the containers' names
	may   map[string][]string
	done  map[string]int    // commands that were acknowledged, by verb
	vols  []string          // acknowledged
	imgs  []string          // acknowledged
	files map[string]string // what was copied into a container as /copied, where that is known
	dir   string            // of files to copy
	fails []string
}

// TestEngineKilledAtRandom kills the engine at random moments under clients that create, start, stop, pause, update, remove,
// exec and more. What was acknowledged holds, every container is in a true state, and in the end nothing is left.
// NARU_TEST_ROUNDS and NARU_TEST_SEED choose how often and which moments.
func TestEngineKilledAtRandom(t *testing.T) {
	rounds, seed := numberFrom("NARU_TEST_ROUNDS", 4), uint64(numberFrom("NARU_TEST_SEED", 20261123))
	requireBuilt(t, "direct")
	w := newWorld(t, "direct")
	t.Cleanup(w.stop)
	img := w.image(t, "bookworm")
	w.sh(t, "naru run --rm -v warm:/x "+img+" true && naru volume rm warm") // what the first container makes stays
	before := count(t, w)
	random := rand.New(rand.NewPCG(seed, 0))
	clients := []*kept{{name: "a"}, {name: "b"}, {name: "c"}}
	for i := range clients {
		clients[i].may, clients[i].done, clients[i].files, clients[i].dir = map[string][]string{}, map[string]int{}, map[string]string{}, w.work
	}
	for round := range rounds {
		var all sync.WaitGroup
		killed := make(chan struct{})
		for _, c := range clients {
			r := rand.New(rand.NewPCG(random.Uint64(), 0))
			all.Go(func() { c.work(w, img, r, killed) })
		}
		time.Sleep(time.Second + time.Duration(random.IntN(300))*time.Millisecond) // the random moment
		close(killed)
		pid := killNextEngine(t, w, 0, 0)
		if random.IntN(3) == 0 { // and the next one, while it takes over
			killNextEngine(t, w, pid, time.Duration(random.IntN(100))*time.Millisecond)
		}
		all.Wait()
		checkTruth(t, w, clients)
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(w.home, "engine", "keeper.log"))
			t.Fatalf("round %d of seed %d; keeper.log:\n%s", round, seed, log[max(0, len(log)-8<<10):])
		}
	}
	done := map[string]int{}
	for _, c := range clients {
		for verb, n := range c.done {
			done[verb] += n
		}
	}
	t.Logf("%d rounds of seed %d, acknowledged: %v", rounds, seed, done)
	w.sh(t, `naru images --format '{{.Repository}}' | grep -E '^[abc]/img-' | xargs -r naru rmi >/dev/null; naru image prune -f >/dev/null`)
	w.sh(t, `naru ps -aq | xargs -r naru rm -fv >/dev/null; naru volume ls -q | grep -E '^[abc]-' | xargs -r naru volume rm >/dev/null`)
	if left := w.sh(t, "naru ps -aq; naru volume ls -q"); left != "" {
		t.Errorf("containers or volumes are left: %s", left)
	}
	census(t, w, before)
	awaitPool(t, w)
}

func numberFrom(env string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(env)); err == nil {
		return n
	}
	return otherwise
}

// killNextEngine kills the engine that is not the one of before, some time after it is seen. It returns its pid.
func killNextEngine(t *testing.T, w *world, before int, after time.Duration) int {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		pids := slices.DeleteFunc(w.processes("naru-engine"), func(pid int) bool { return pid == before })
		if len(pids) == 1 {
			time.Sleep(after)
			if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
				t.Fatalf("kill engine: %v", err)
			}
			return pids[0]
		}
		if time.Now().After(deadline) {
			t.Fatal("no engine runs")
		}
	}
}

// work does random things until the engine was killed.
func (k *kept) work(w *world, img string, r *rand.Rand, killed <-chan struct{}) {
	for {
		name := k.name + strconv.Itoa(r.IntN(3))
		was := k.may[name]
		if was == nil {
			was = []string{absent}
		}
		script, want, next, orElse := k.wish(r, img, name, was)
		done := w.exec(result{script: script})
		ok := done.code == want
		if ok {
			k.done[strings.Fields(script)[1]]++
		}
		dead := false
		select {
		case <-killed:
			dead = true
		default:
		}
		k.follow(script, name, ok)
		switch {
		case ok:
			k.may[name] = next
		case dead:
			k.may[name] = slices.Concat(was, next, orElse)
		default:
			k.fails = append(k.fails, fmt.Sprintf("%v before the engine was killed; container may be %v", done, was))
		}
		if dead {
			return
		}
	}
}

// follow notes what else than the container's place a command has changed or left open.
func (k *kept) follow(script, name string, ok bool) {
	f := strings.Fields(script)
	switch verb := f[1]; {
	case verb == "volume" && ok:
		k.vols = append(k.vols, f[3])
	case verb == "commit" && ok:
		k.imgs = append(k.imgs, f[3])
	case verb == "cp" && ok:
		k.files[name] = filepath.Base(f[2])
	case verb == "cp", verb == "rm":
		delete(k.files, name)
	}
}

// wish is a random command that is right for a container in the only place it may be in, the exit code it must end with,
// the places after it, and those that its interruption can leave besides.
func (k *kept) wish(r *rand.Rand, img, name string, was []string) (script string, code int, next, orElse []string) {
	if was[0] == absent {
		return k.wishNew(r, img, name, was)
	}
	status, memory, _ := strings.Cut(was[0], "/")
	at := func(statuses ...string) (places []string) {
		for _, s := range statuses {
			places = append(places, s+"/"+memory)
		}
		return places
	}
	switch r.IntN(20) {
	case 0:
		return fmt.Sprintf("naru commit %s %s/img-%d", name, k.name, r.Uint32()), 0, was, nil
	case 1, 2:
		file := fmt.Sprintf("%s/copy-%d", k.dir, r.Uint32())
		if err := os.WriteFile(file, []byte(filepath.Base(file)), 0o600); err != nil {
			panic(err)
		}
		return "naru cp " + file + " " + name + ":/copied", 0, was, nil
	case 3, 4:
		limit := 32 + r.IntN(64)
		return fmt.Sprintf("naru update -m %dm --memory-swap %dm %s", limit, 2*limit, name), 0, []string{fmt.Sprint(status, "/", limit<<20)}, nil
	}
	switch status {
	case "running":
		switch r.IntN(8) {
		case 0:
			return "naru stop -t 0 " + name, 0, at("exited"), nil
		case 1, 2:
			return "naru exec " + name + " sh -c 'exit 9'", 9, was, nil
		case 3:
			return "naru pause " + name, 0, at("paused"), nil
		case 4:
			return "naru restart -t 0 " + name, 0, at("running"), at("exited")
		case 5:
			return "naru kill " + name, 0, at("exited"), nil
		case 6:
			return fmt.Sprintf("naru rename %s %[1]s%s && naru rename %[1]s%[2]s %[1]s", name, renamed), 0, was, nil
		}
	case "paused":
		switch r.IntN(4) {
		case 0, 1:
			return "naru unpause " + name, 0, at("running"), nil
		case 2:
			return "naru stop -t 0 " + name, 0, at("exited"), at("running")
		}
	default:
		if r.IntN(2) == 0 {
			return "naru start " + name, 0, at("running"), nil
		}
	}
	return "naru rm -fv " + name, 0, []string{absent}, at("exited", "running")
}

// wishNew is wish for a container that is not there.
func (k *kept) wishNew(r *rand.Rand, img, name string, was []string) (script string, code int, next, orElse []string) {
	run := " --name " + name + " -v /anonymous -v " + k.name + "-" + name + ":/named " + img + " sleep 100000"
	switch r.IntN(4) {
	case 0:
		return "naru create" + run, 0, []string{"created/0"}, nil
	case 1:
		return "naru run --rm " + img + " sh -c 'exit 7'", 7, was, nil
	case 2:
		return fmt.Sprintf("naru volume create %s-%d", k.name, r.Uint32()), 0, was, nil
	}
	return "naru run -d" + run, 0, []string{"running/0"}, []string{"created/0"}
}

// checkTruth compares what the clients believe, what the engine says, and what really runs.
func checkTruth(t *testing.T, w *world, clients []*kept) {
	t.Helper()
	places := awaitTruth(t, w)
	for _, c := range clients {
		for _, fail := range c.fails {
			t.Error(fail)
		}
		for name, may := range c.may {
			is := places["/"+name]
			if other := places["/"+name+renamed]; is == "" && other != "" { // between the two renamings
				w.sh(t, "naru rename "+name+renamed+" "+name)
				is = other
			}
			if is == "" {
				is = absent
			}
			if !slices.Contains(may, is) {
				t.Errorf("%s is %s, must be one of %v", name, is, may)
			}
			c.may[name] = []string{is}
			if is == absent {
				delete(c.files, name)
			}
		}
		if len(c.vols) > 0 {
			w.sh(t, "naru volume inspect >/dev/null "+strings.Join(c.vols, " "))
		}
		if len(c.imgs) > 0 {
			w.sh(t, "naru image inspect >/dev/null "+strings.Join(c.imgs, " "))
		}
		for name, want := range c.files {
			if got := w.sh(t, "naru cp "+name+":/copied - | tar xO"); got != want {
				t.Errorf("%s: copied was %q, is %q", name, want, got)
			}
		}
	}
}

// awaitTruth returns each container's place, once exactly those run that are said to, with the limits and frozen as is
// said. A container to be removed on exit may end and go meanwhile.
func awaitTruth(t *testing.T, w *world) map[string]string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		list := w.sh(t, `naru ps -aq | xargs -r naru inspect -f '{{.Name}} {{.Id}} {{.State.Status}} {{.State.Pid}} {{.HostConfig.Memory}}' || true`)
		places, said := map[string]string{}, map[string]string{}
		for line := range strings.Lines(list) {
			f := strings.Fields(line)
			places[f[0]] = f[2] + "/" + f[4]
			if f[2] == "running" || f[2] == "paused" {
				said[f[1]] = fmt.Sprintf("pid %s, memory %s, frozen %t", f[3], f[4], f[2] == "paused")
			}
		}
		real := realContainers(w)
		if maps.Equal(real, said) {
			return places
		}
		if time.Now().After(deadline) {
			t.Errorf("what really runs: %v\nwhat is said: %v\n%s", real, said, list)
			return places
		}
	}
}

// realContainers are the processes in the cgroups of w's containers, by container, with what the kernel does to them.
func realContainers(w *world) map[string]string {
	all := map[string]string{}
	read := func(paths ...string) string {
		for _, path := range paths {
			if text, err := os.ReadFile(path); err == nil {
				return strings.TrimSpace(string(text))
			}
		}
		return ""
	}
	const v2, v1 = "/sys/fs/cgroup/", "/sys/fs/cgroup/pids/"
	for _, tree := range []string{v2, v1} {
		files, _ := filepath.Glob(tree + paths.Home(w.home).Name() + "/*/cgroup.procs")
		for _, file := range files {
			pids := read(file)
			if pids == "" {
				continue
			}
			id := filepath.Base(filepath.Dir(file))
			of := func(tree, name string) string { return filepath.Join(tree, paths.Home(w.home).Name(), id, name) }
			memory := read(of(v2, "memory.max"), of("/sys/fs/cgroup/memory", "memory.limit_in_bytes"))
			if n, err := strconv.ParseInt(memory, 10, 64); err != nil || n > 1<<60 {
				memory = "0" // no limit
			}
			frozen := read(of(v2, "cgroup.freeze"), of("/sys/fs/cgroup/freezer", "freezer.state"))
			all[id] = fmt.Sprintf("pid %s, memory %s, frozen %t", pids, memory, frozen == "1" || frozen == "FROZEN")
		}
	}
	return all
}

// awaitPool waits until there are no more network namespaces than wait in the pools.
func awaitPool(t *testing.T, w *world) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		got := w.inside(t, "ls "+w.home+"/engine/run/netns | wc -l")
		if n, err := strconv.Atoi(got); err == nil && n <= 12 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s network namespaces are left", got)
			return
		}
	}
}
