package journal

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

type value struct {
	N    int
	Text string
}

func open(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func all(t *testing.T, j *Journal, kind string) map[string]value {
	t.Helper()
	got := map[string]value{}
	err := j.Each(kind, func(id string, raw json.RawMessage) error {
		var v value
		if err := json.Unmarshal(raw, &v); err != nil {
			return err
		}
		got[id] = v
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReopenFindsWhatWasPut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.journal")
	j := open(t, path)
	must(t, j.Put("container", "a", value{N: 1}, true))
	must(t, j.Put("container", "b", value{N: 2}, false))
	must(t, j.Put("container", "a", value{N: 3}, false))
	must(t, j.Put("volume", "a", value{N: 4}, true))
	must(t, j.Delete("container", "b", true))
	must(t, j.Delete("container", "never there", true))
	if _, err := Open(path, slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("a second process could open the journal")
	}
	must(t, j.Close())
	j = open(t, path)
	if got := fmt.Sprint(all(t, j, "container"), all(t, j, "volume")); got != "map[a:{3 }] map[a:{4 }]" {
		t.Fatal(got)
	}
}

// Whatever a power cut leaves of the last record, the ones before it are found and new ones can follow.
func TestTornTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.journal")
	j := open(t, path)
	must(t, j.Put("k", "first", value{N: 1}, true))
	whole := j.size
	must(t, j.Put("k", "last", value{N: 2}, true))
	must(t, j.Close())
	data, err := os.ReadFile(path)
	must(t, err)
	tails := map[string][]byte{"zeros": make([]byte, 4096), "rubbish": []byte(strings.Repeat("\xff", 100))}
	flipped := append([]byte(nil), data[whole:]...)
	flipped[len(flipped)-1] ^= 1
	tails["flipped"] = flipped
	for n := 1; n < len(data)-int(whole); n += 3 {
		tails[fmt.Sprint("cut at ", n)] = data[whole : int(whole)+n]
	}
	for name, tail := range tails {
		must(t, os.WriteFile(path, append(append([]byte(nil), data[:whole]...), tail...), 0o600))
		j := open(t, path)
		must(t, j.Put("k", "new", value{N: 3}, true))
		must(t, j.Close())
		j = open(t, path)
		if got := fmt.Sprint(all(t, j, "k")); got != "map[first:{1 } new:{3 }]" {
			t.Fatalf("%s: %s", name, got)
		}
		must(t, j.Close())
	}
}

func TestCompaction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.journal")
	j := open(t, path)
	big := strings.Repeat("x", 10_000)
	for i := range 1000 {
		must(t, j.Put("k", fmt.Sprint(i%7), value{N: i, Text: big}, false))
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Size() > 3*compactAbove {
		t.Fatalf("file has %d bytes after 10 MB written over 7 ids", info.Size())
	}
	must(t, j.Close())
	got := all(t, open(t, path), "k")
	for id := range 7 {
		if v := got[fmt.Sprint(id)]; v.N < 993 || len(v.Text) != len(big) {
			t.Fatalf("%d: %d", id, v.N)
		}
	}
}

func TestManyWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.journal")
	j := open(t, path)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("%d-%d", w, i)
				if err := j.Put("k", id, value{N: i, Text: strings.Repeat("y", 3000)}, i%2 == 0); err != nil {
					t.Error(err)
				}
				if i%5 != 0 {
					if err := j.Delete("k", id, true); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	must(t, j.Close())
	if err := j.Put("k", "late", value{}, true); err != ErrClosed {
		t.Fatal(err)
	}
	if got := all(t, open(t, path), "k"); len(got) != 160 {
		t.Fatalf("%d entries, want 160", len(got))
	}
}
