package image

import (
	"bytes"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/sys/unix"
)

// victimRoot names the store of a process that works on it until it is killed.
const victimRoot = "NARU_TEST_STORE"

// TestVictim is that process, not a test.
func TestVictim(t *testing.T) {
	root := os.Getenv(victimRoot)
	if root == "" {
		t.Skip("it is run by TestKillRounds")
	}
	s := openTest(t, root, nil)
	archive, err := os.ReadFile(os.Getenv("NARU_TEST_ARCHIVE"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	for { // errors are a full disk's
		_, _ = s.Load(t.Context(), bytes.NewReader(archive), LoadOptions{})
		_, _ = s.Pull(t.Context(), PullOptions{Name: os.Getenv("NARU_TEST_REF")})
		_, _ = s.Import(t.Context(), bytes.NewReader(archive), ImportOptions{Ref: "imported"})
		for _, ref := range []string{"loaded:v1", os.Getenv("NARU_TEST_REF"), "imported"} {
			_, _ = s.Delete(t.Context(), ref, DeleteOptions{Force: true})
		}
		_ = s.Collect(t.Context())
	}
}

// TestKillRounds kills a process that pulls, loads, imports, deletes and collects on a file system of 64 MiB at random moments,
// in every other round with hardly any room. Then every image that is named is whole, and without images the space is back.
// NARU_TEST_ROUNDS says how often, NARU_TEST_SEED when.
func TestKillRounds(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: sudo go test ./guest/engine/image")
	}
	number := func(key string, n uint64) uint64 {
		if v, err := strconv.ParseUint(os.Getenv(key), 10, 64); err == nil {
			return v
		}
		return n
	}
	seed := number("NARU_TEST_SEED", uint64(time.Now().UnixNano()))
	random := mathrand.New(mathrand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	root := t.TempDir()
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(root, unix.MNT_DETACH) })
	noise := make([]byte, 6<<20)
	_, _ = rand.Read(noise)
	layers := [][]file{{{name: "noise", content: string(noise)}}, {{name: "end", content: "end"}}}
	archive := t.TempDir() + "/archive"
	if err := os.WriteFile(archive, dockerArchive(t, "loaded:v1", layers...), 0o600); err != nil {
		t.Fatal(err)
	}
	ref := newTestRegistry(t).push(t, "app", testImage(t, "amd64", layers[0], []file{{name: "end", content: "end"}, {name: "more", content: "x"}}))
	for round := range number("NARU_TEST_ROUNDS", 6) {
		filler := root + "/filler"
		if round%2 == 1 {
			if err := os.WriteFile(filler, make([]byte, (30+random.IntN(20))<<20), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		killVictim(t, root, archive, ref, time.Duration(random.IntN(1500))*time.Millisecond)
		_ = os.Remove(filler)
		checkSurvivor(t, root, round)
		if t.Failed() {
			return
		}
	}
}

func killVictim(t *testing.T, root, archive string, ref name.Reference, after time.Duration) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestVictim$", "-test.v")
	cmd.Env = append(os.Environ(), victimRoot+"="+root, "NARU_TEST_ARCHIVE="+archive, "NARU_TEST_REF="+ref.String())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for said := ""; !bytes.Contains([]byte(said), []byte("ready")); {
		n, err := out.Read(buf)
		if said += string(buf[:n]); err != nil {
			t.Fatalf("%q: %v", said, err)
		}
	}
	<-time.After(after) // the moment is what is random
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// checkSurvivor opens the store again.
func checkSurvivor(t *testing.T, root string, round uint64) {
	t.Helper()
	s, err := Open(t.Context(), Options{Root: root})
	if err != nil {
		t.Fatalf("round %d: open: %v", round, err)
	}
	defer s.Close()
	for _, e := range s.index.shown() {
		id := e.img.ID
		if e.img.Config.Labels == nil && len(e.img.DiffIDs) == 1 { // the imported archive
			continue
		}
		if got := read(t, s, id, "end"); got != "end" || len(read(t, s, id, "noise")) != 6<<20 {
			t.Errorf("round %d: image %s is not whole", round, id)
		}
	}
	for _, e := range s.index.shown() {
		if _, err := s.Delete(t.Context(), e.img.ID, DeleteOptions{Force: true}); err != nil {
			t.Errorf("round %d: delete: %v", round, err)
		}
	}
	wantEmpty(t, s)
	if free := freeBytes(root); free < 48<<20 { // the databases do not shrink
		t.Errorf("round %d: only %d bytes are free", round, free)
	}
}
