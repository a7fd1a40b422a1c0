package acceptance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// victims are what is killed of a machine, each by its own way to die. The two in the guest are killed from its shell; a
// keeper's death is the kernel's panic.
var victims = []struct {
	name string
	kill func(t *testing.T, w *world)
}{
	{"the VM", func(t *testing.T, w *world) { w.killPid(t, "VMPid") }},
	{"the host's daemon", func(t *testing.T, w *world) { w.killPid(t, "Pid") }},
	{"the engine in the VM", func(t *testing.T, w *world) { w.exec(result{script: "naru machine shell 'pkill -9 naru-engine'"}) }},
	{"the keeper in the VM", func(t *testing.T, w *world) {
		w.exec(result{script: "naru machine shell 'echo c >/proc/sysrq-trigger'"})
	}},
}

func (w *world) killPid(t *testing.T, field string) {
	t.Helper()
	pid := int(w.status(t, field))
	if err := killed(pid); err != nil {
		t.Errorf("kill %d, the machine's %s: %v", pid, field, err)
	}
}

// killed kills a process and waits until all its threads are gone, and its sockets with them: of a process whose first thread
// has ended /proc says that it is dead while others still listen.
func killed(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		return err
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 60_000)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return errors.New("it outlives SIGKILL")
		default:
			return nil
		}
	}
}

// made is what one client made in a machine: what was acknowledged, and what may be there or not.
type made struct {
	prefix       string
	there, maybe map[string]bool // "volume x", "container x"
	count        int
}

// work makes and removes volumes and containers until something was killed.
func (m *made) work(w *world, r *rand.Rand, killed <-chan struct{}) {
	for {
		m.count++
		kind, name := "volume", m.prefix+strconv.Itoa(m.count)
		script := "naru volume create " + name
		if r.IntN(2) == 0 {
			kind, script = "container", "naru create --name "+name+" hello"
		}
		was := false
		if keys := slices.Sorted(mapsKeys(m.there)); len(keys) > 3 && r.IntN(3) == 0 {
			key := keys[r.IntN(len(keys))]
			kind, name, _ = strings.Cut(key, " ")
			was, script = true, "naru "+kind+" rm "+name
		}
		done := w.exec(result{script: script})
		key := kind + " " + name
		if done.code == 0 {
			delete(m.there, key)
			if !was {
				m.there[key] = true
			}
		} else {
			delete(m.there, key)
			m.maybe[key] = true
		}
		select {
		case <-killed:
			return
		default:
		}
	}
}

func mapsKeys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// TestMachineKilled kills the VM, the host's daemon, the engine and the keeper in the VM under clients that make and remove
// things. The next command finds everything that was acknowledged, with nothing done by hand in between. NARU_TEST_ROUNDS and
// NARU_TEST_SEED choose how often and which moments.
func TestMachineKilled(t *testing.T) {
	rounds, seed := numberFrom("NARU_TEST_ROUNDS", 4), uint64(numberFrom("NARU_TEST_SEED", 20261125))
	w := newMachine(t)
	w.sh(t, "naru run --rm hello")
	random := rand.New(rand.NewPCG(seed, 0))
	clients := []*made{{prefix: "a"}, {prefix: "b"}}
	for _, c := range clients {
		c.there, c.maybe = map[string]bool{}, map[string]bool{}
	}
	first := random.IntN(len(victims))
	for round := range rounds {
		victim := victims[(first+round)%len(victims)]
		var all sync.WaitGroup
		killed := make(chan struct{})
		for _, c := range clients {
			r := rand.New(rand.NewPCG(random.Uint64(), 0))
			all.Go(func() { c.work(w, r, killed) })
		}
		time.Sleep(time.Second + time.Duration(random.IntN(1000))*time.Millisecond) // the random moment
		close(killed)
		victim.kill(t, w)
		all.Wait()
		start := time.Now()
		w.sh(t, "naru run --rm hello")
		n := checkMade(t, w, clients)
		t.Logf("round %d: %s; %d things are there, the next container ran after %v", round, victim.name, n, time.Since(start).Round(100*time.Millisecond))
		if t.Failed() {
			logs := w.sh(t, "naru machine logs | tail -n 60")
			t.Fatalf("round %d of seed %d:\n%s", round, seed, logs)
		}
	}
}

// checkMade compares what is there with what was acknowledged.
func checkMade(t *testing.T, w *world, clients []*made) int {
	t.Helper()
	have := map[string]bool{}
	for _, name := range strings.Fields(w.sh(t, "naru volume ls -q")) {
		have["volume "+name] = true
	}
	for _, name := range strings.Fields(w.sh(t, "naru ps -a --format '{{.Names}}'")) {
		have["container "+name] = true
	}
	n := len(have)
	for _, c := range clients {
		for key := range c.there {
			if !have[key] {
				t.Errorf("%s was acknowledged and is not there", key)
			}
			delete(have, key)
		}
		for key := range c.maybe {
			delete(have, key)
		}
	}
	for key := range have {
		t.Errorf("%s is there and should not be", key)
	}
	return n
}

// TestMachineStopped stops the hypervisor for a while, with the guest's clock moved by eight hours as after a long sleep (the
// host's own cannot be moved in a test). A second later the time is right, and a port, an attached session and a health
// check go on. NARU_TEST_SECONDS is for how long.
func TestMachineStopped(t *testing.T) {
	seconds := numberFrom("NARU_TEST_SECONDS", 6)
	w := newMachine(t)
	img := w.image(t, "bookworm")
	w.sh(t, "naru run -d --name web -p 127.0.0.1:18391:80 --health-cmd true --health-interval 1s "+img+` perl -MIO::Socket::INET -e '
		$s = IO::Socket::INET->new(LocalPort => 80, Listen => 9, ReuseAddr => 1); while ($c = $s->accept) { print $c "here\n"; close $c }'`)
	port := `exec 3<>/dev/tcp/127.0.0.1/18391 && head -n 1 <&3`
	w.sh(t, "for i in $(seq 100); do "+"[ \"$("+port+")\" = here ] && break; sleep 0.1; done; "+port)
	session := make(chan result, 1)
	go func() {
		session <- w.exec(result{script: fmt.Sprintf("{ sleep %d; echo ping; } | naru exec -i web cat", seconds+6)})
	}()
	w.sh(t, "for i in $(seq 100); do [ $(naru top web | grep -c cat) -gt 0 ] && exit; sleep 0.1; done; exit 1")
	pid := int(w.status(t, "VMPid"))
	w.sh(t, `naru machine shell 'date -s @$(($(date +%s) - 28800)) >/dev/null' & sleep 0.3; kill -STOP `+strconv.Itoa(pid))
	time.Sleep(time.Duration(seconds) * time.Second)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	off, trip := clockOff(t, w)
	t.Logf("a second later the guest's clock was off by %v, give or take %v", off, trip/2)
	if off.Abs() > 50*time.Millisecond+trip/2 {
		t.Errorf("the clock is off by %v", off)
	}
	if out := w.sh(t, port); out != "here" {
		t.Errorf("the port: %q", out)
	}
	w.sh(t, "for i in $(seq 100); do [ $(naru inspect -f '{{.State.Health.Status}}' web) = healthy ] && exit; sleep 0.1; done; exit 1")
	if r := <-session; r.code != 0 || strings.TrimSpace(r.stdout) != "ping" {
		t.Errorf("the attached session: %v", r)
	}
	log, _ := os.ReadFile(w.home + "/machine/machine.log")
	if !strings.Contains(string(log), "clock is set") {
		t.Error("nobody set the clock")
	}
}

// clockOff asks a container for the time; the answer may lie anywhere within the round trip, so the quickest of three counts.
func clockOff(t *testing.T, w *world) (off, trip time.Duration) {
	t.Helper()
	best := time.Hour
	for range 3 {
		before := time.Now()
		out := w.sh(t, "naru exec web date +%s.%N")
		took := time.Since(before)
		seconds, nanos, _ := strings.Cut(strings.TrimSpace(out), ".")
		s, err := strconv.ParseInt(seconds, 10, 64)
		n, err2 := strconv.ParseInt(nanos, 10, 64)
		if err != nil || err2 != nil {
			t.Fatalf("date: %q", out)
		}
		if took < best {
			best, off = took, time.Unix(s, n).Sub(before.Round(0).Add(took/2))
		}
	}
	return off, best
}
