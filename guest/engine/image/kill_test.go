package image

import (
	"bytes"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
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
		_, _ = s.Load(t.Context(), bytes.NewReader(archive), LoadOptions{})
		_, _ = s.Prune(t.Context(), PruneOptions{All: true})
		_ = s.Collect(t.Context())
	}
}

// number is an option of a test, from the environment.
func number(key string, n uint64) uint64 {
	if v, err := strconv.ParseUint(os.Getenv(key), 10, 64); err == nil {
		return v
	}
	return n
}

// seeded makes the random choices of a test repeatable.
func seeded(t *testing.T) *mathrand.Rand {
	seed := number("NARU_TEST_SEED", uint64(time.Now().UnixNano()))
	t.Logf("seed %d", seed)
	return mathrand.New(mathrand.NewPCG(seed, 0))
}

// smallDisk is a file system of 64 MiB: ext4 in a file where loop devices can be had, else memory.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: sudo go test ./guest/engine/image")
	}
	root, disk := t.TempDir(), t.TempDir()+"/disk"
	t.Cleanup(func() { _ = unix.Unmount(root, unix.MNT_DETACH) })
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 64<<20); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `mkfs.ext4 -q -m 0 -O ^has_journal "$1" && mount -o loop "$1" "$2" && rmdir "$2/lost+found"`, "sh", disk, root).CombinedOutput()
	if err == nil {
		return root
	}
	t.Logf("no loop device, so in memory: %v: %s", err, out)
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	return root
}

// smallImages are an archive, in a file, and an image of a registry, that share a layer of 6 MiB.
func smallImages(t *testing.T) (archive string, ref name.Reference) {
	t.Helper()
	noise := make([]byte, 6<<20)
	_, _ = rand.Read(noise)
	layers := [][]file{{{name: "noise", content: string(noise)}}, {{name: "end", content: "end"}}}
	archive = t.TempDir() + "/archive"
	if err := os.WriteFile(archive, dockerArchive(t, "loaded:v1", layers...), 0o600); err != nil {
		t.Fatal(err)
	}
	return archive, newTestRegistry(t).push(t, "app", testImage(t, "amd64", layers[0], []file{{name: "end", content: "end"}, {name: "more", content: "x"}}))
}

// TestKillRounds kills a process that pulls, loads, imports, deletes, prunes and collects on a file system of 64 MiB at random
// moments, in every other round with hardly any room. Then every image that is named is whole, the store works, and without
// images the space is back. NARU_TEST_ROUNDS says how often, NARU_TEST_SEED when.
func TestKillRounds(t *testing.T) {
	root := smallDisk(t)
	random := seeded(t)
	archive, ref := smallImages(t)
	for round := range number("NARU_TEST_ROUNDS", 6) {
		filler := root + "/filler"
		if round%2 == 1 {
			if err := os.WriteFile(filler, make([]byte, (30+random.IntN(20))<<20), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		killVictim(t, root, archive, ref, time.Duration(random.IntN(1500))*time.Millisecond)
		_ = os.Remove(filler)
		checkSurvivor(t, root, archive, round)
		if t.Failed() {
			return
		}
	}
}

// TestFullRounds fills the disk of a store again and again, at random points of what it does. What fails says that there is no
// space, nothing is half there, and as soon as there is room the same store works.
func TestFullRounds(t *testing.T) {
	root := smallDisk(t)
	random := seeded(t)
	archive, ref := smallImages(t)
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	s := openTest(t, root, nil)
	filler, full := root+"/filler", 0
	for round := range number("NARU_TEST_ROUNDS", 6) {
		fill(t, filler, uint64(random.IntN(14<<20)))
		for range 3 {
			var err error
			switch random.IntN(5) {
			case 0:
				_, err = s.Load(t.Context(), bytes.NewReader(data), LoadOptions{})
			case 1:
				_, err = s.Pull(t.Context(), PullOptions{Name: ref.String()})
			case 2:
				_, err = s.Import(t.Context(), bytes.NewReader(data), ImportOptions{Ref: "imported"})
			case 3:
				_, err = s.Prune(t.Context(), PruneOptions{All: true})
			case 4:
				if _, err = s.Delete(t.Context(), "loaded:v1", DeleteOptions{Force: true}); errdefs.IsNotFound(err) {
					err = nil
				}
			}
			if err != nil {
				full++
			}
			if err != nil && !strings.Contains(err.Error(), "no space left on device") {
				t.Errorf("round %d: %v", round, err)
			}
			wantWhole(t, s, round)
		}
		_ = os.Remove(filler)
		if _, err := s.Load(t.Context(), bytes.NewReader(data), LoadOptions{}); err != nil {
			t.Errorf("round %d: there is room again: %v", round, err)
		}
		wantWhole(t, s, round)
		sweepLater(t, s)
		wantSpace(t, s, round)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d operations found no space", full)
}

// sweepLater has the store sweep as a minute later: until then a download whose name found no space could be one that is just being made.
func sweepLater(t *testing.T, s *Store) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(s.o.Root, "content/ingest/*"))
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-2 * time.Minute)
	for _, dir := range dirs {
		if err := os.Chtimes(dir, past, past); err != nil {
			t.Fatal(err)
		}
	}
	s.sweepIngests(time.Minute)
}

// fill leaves so many bytes free.
func fill(t *testing.T, path string, left uint64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for free := freeBytes(filepath.Dir(path)); free > left; free = freeBytes(filepath.Dir(path)) {
		n, err := f.Write(make([]byte, min(free-left, 1<<20)))
		if err != nil || n < 4096 {
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
func checkSurvivor(t *testing.T, root, archive string, round uint64) {
	t.Helper()
	s, err := Open(t.Context(), Options{Root: root})
	if err != nil {
		t.Fatalf("round %d: open: %v", round, err)
	}
	defer s.Close()
	wantWhole(t, s, round)
	wantSpace(t, s, round)
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), bytes.NewReader(data), LoadOptions{}); err != nil {
		t.Errorf("round %d: the store does not work any more: %v", round, err)
	}
	wantWhole(t, s, round)
	wantSpace(t, s, round)
}

// wantWhole: every image that is named has its files.
func wantWhole(t *testing.T, s *Store, round uint64) {
	t.Helper()
	for _, e := range s.index.shown() {
		id := e.img.ID
		if e.img.Config.Labels == nil && len(e.img.DiffIDs) == 1 { // the imported archive
			continue
		}
		if got := read(t, s, id, "end"); got != "end" || len(read(t, s, id, "noise")) != 6<<20 {
			t.Errorf("round %d: image %s is not whole", round, id)
		}
	}
}

// wantSpace removes all images, and the space is there.
func wantSpace(t *testing.T, s *Store, round uint64) {
	t.Helper()
	for _, e := range s.index.shown() {
		if _, err := s.Delete(t.Context(), e.img.ID, DeleteOptions{Force: true}); err != nil {
			t.Errorf("round %d: delete: %v", round, err)
		}
	}
	wantEmpty(t, s)
	if free := freeBytes(s.o.Root); free < 48<<20 { // the databases do not shrink
		t.Errorf("round %d: only %d bytes are free", round, free)
	}
}

// TestLostSnapshots: folders whose numbers the database has not got, as a kill at the wrong moment leaves them, are in nobody's way
// and go.
func TestLostSnapshots(t *testing.T) {
	root := t.TempDir()
	for id := range 8 {
		if err := os.MkdirAll(fmt.Sprintf("%s/snapshots/snapshots/%d/fs/lost", root, id+1), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := openTest(t, root, nil)
	img, err := s.Load(t.Context(), bytes.NewReader(dockerArchive(t, "one:v1", []file{{name: "a", content: "A"}}, []file{{name: "b", content: "B"}})), LoadOptions{})
	if err != nil || read(t, s, img[0].ID, "b") != "B" {
		t.Fatalf("load: %v", err)
	}
	if _, err := s.Delete(t.Context(), "one:v1", DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, s)
}
