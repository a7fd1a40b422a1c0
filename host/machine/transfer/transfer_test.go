package transfer

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"naru/platform/ipc"
	"naru/platform/paths"
)

// disk makes a home with a sparse data disk of 300 MiB that holds a few things.
func disk(t *testing.T) paths.Home {
	t.Helper()
	home := paths.Home(t.TempDir())
	if err := os.MkdirAll(home.Machine(), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(home.MachineData())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(300<<20 + 512); err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	for _, part := range []struct{ at, n int64 }{{1024, 5000}, {blockSize*3 - 1, 2}, {partSize - 7, partSize + 100}, {200 << 20, blockSize}, {300 << 20, 512}} {
		data := make([]byte, part.n)
		_, _ = random.Read(data)
		if _, err := f.WriteAt(data, part.at); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

func TestRoundTrip(t *testing.T) {
	from, to := disk(t), paths.Home(t.TempDir())
	var file bytes.Buffer
	if err := Export(from, "test", &file); err != nil {
		t.Fatal(err)
	}
	if file.Len() > 6<<20 {
		t.Errorf("a file of %d bytes for 4 MiB of data", file.Len())
	}
	whole := bytes.Clone(file.Bytes())
	if err := Import(to, &file); err != nil {
		t.Fatal(err)
	}
	want, _ := os.ReadFile(from.MachineData())
	got, _ := os.ReadFile(to.MachineData())
	if !bytes.Equal(want, got) {
		t.Error("the disks differ")
	}
	if err := Import(to, bytes.NewReader(whole)); err == nil || !strings.Contains(err.Error(), "has data already") {
		t.Errorf("import over a disk: %v", err)
	}
	for _, cut := range []int{0, 10, 100, len(whole) / 2, len(whole) - 20, len(whole) - 1} {
		fresh := paths.Home(t.TempDir())
		if err := Import(fresh, bytes.NewReader(whole[:cut])); err == nil {
			t.Errorf("a file cut after %d of %d bytes was taken", cut, len(whole))
		}
		if left, _ := os.ReadDir(fresh.Machine()); len(left) > 1 {
			t.Errorf("a failed import left %v", left)
		}
	}
	broken := bytes.Clone(whole)
	broken[len(broken)/2] ^= 1
	if err := Import(paths.Home(t.TempDir()), bytes.NewReader(broken)); err == nil {
		t.Error("a damaged file was taken")
	}
}

func TestRefusals(t *testing.T) {
	if err := Export(paths.Home(t.TempDir()), "test", &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "no data yet") {
		t.Errorf("export of nothing: %v", err)
	}
	home := disk(t)
	lock, err := ipc.TryLock(home.MachineLock())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if err := Export(home, "test", &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "machine runs") {
		t.Errorf("export while it runs: %v", err)
	}
	if err := Import(home, strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "machine runs") {
		t.Errorf("import while it runs: %v", err)
	}
}
