package keeper

import (
	"testing"
	"time"
)

func TestTrimIsDue(t *testing.T) {
	const gb = uint64(1 << 30)
	start := time.Unix(1e9, 0)
	for name, looks := range map[string][]struct {
		after time.Duration
		free  uint64
		want  bool
	}{
		"nothing changes":                      {{time.Second, 10 * gb, false}, {2 * time.Hour, 10 * gb, false}},
		"a little, after an hour":              {{time.Second, 9 * gb, false}, {2 * time.Second, 9*gb + 4096, false}, {2 * time.Hour, 9*gb + 4096, true}},
		"written and deleted":                  {{time.Second, 5 * gb, false}, {2 * time.Second, 10 * gb, false}, {3 * time.Second, 10 * gb, true}},
		"waits while more is deleted":          {{1 * time.Second, 5 * gb, false}, {4 * time.Second, 6 * gb, false}, {7 * time.Second, 7 * gb, false}, {10 * time.Second, 7 * gb, true}},
		"but not for ever":                     {{1 * time.Second, 5 * gb, false}, {4 * time.Second, 6 * gb, false}, {40 * time.Second, 7 * gb, true}},
		"deleted, and written again meanwhile": {{1 * time.Second, 5 * gb, false}, {4 * time.Second, 6 * gb, false}, {7 * time.Second, 5 * gb, false}},
	} {
		var tr trimmer
		tr.trimmed(10*gb, start)
		for i, look := range looks {
			if got := tr.due(look.free, start.Add(look.after)); got != look.want {
				t.Errorf("%s: look %d: %v", name, i, got)
			}
		}
	}
	var tr trimmer
	tr.trimmed(10*gb, start)
	tr.due(5*gb, start)
	tr.trimmed(9*gb, start)
	if tr.due(9*gb+trimLeast/2, start) {
		t.Error("what was trimmed already counts again")
	}
}
