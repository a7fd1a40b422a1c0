package keeper

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"naru/guest/keeper/keeperapi"
)

func reopen(t *testing.T, path string) (*journal, map[string]keeperapi.Exit) {
	t.Helper()
	j, exits, err := openJournal(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.close)
	byID := map[string]keeperapi.Exit{}
	for _, e := range exits {
		byID[e.ID] = e
	}
	return j, byID
}

// TestJournal records from many goroutines, forgets, and reads what remains, also after half a line was left.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "exits")
	j, exits := reopen(t, path)
	if len(exits) != 0 {
		t.Fatalf("new journal has %v", exits)
	}
	when := time.Now().UTC()
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			id := fmt.Sprint(i)
			if err := j.record(keeperapi.Exit{ID: id, Code: i, Time: when, OutputDone: true}); err != nil {
				t.Error(err)
			}
			if i%2 == 1 {
				j.forget(id)
			}
		})
	}
	all.Wait()
	j.close()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"exit":{"id":"half`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	_, exits = reopen(t, path)
	if len(exits) != 100 || exits["42"].Code != 42 || !exits["42"].Time.Equal(when) || !exits["42"].OutputDone {
		t.Errorf("%d exits, one is %+v", len(exits), exits["42"])
	}
}

// TestJournalStaysSmall: what is forgotten does not stay in the file for ever.
func TestJournalStaysSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "exits")
	j, _ := reopen(t, path)
	long := strings.Repeat("x", compactAt/8)
	for i := range 40 {
		id := fmt.Sprint(i, long)
		if err := j.record(keeperapi.Exit{ID: id}); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			j.forget(id)
		}
	}
	j.close()
	if info, err := os.Stat(path); err != nil || info.Size() > 2*compactAt {
		t.Errorf("%v, %v", info.Size(), err)
	}
	if _, exits := reopen(t, path); len(exits) != 1 {
		t.Errorf("%d exits, want 1", len(exits))
	}
}
