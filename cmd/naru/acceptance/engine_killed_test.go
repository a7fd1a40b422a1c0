package acceptance

import (
	"fmt"
	"strings"
	"testing"
)

// TestEngineKilled: containers go on without the engine, and nothing of their output or end is lost.
func TestEngineKilled(t *testing.T) {
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			img := w.image(t, "bookworm")
			const lines = 200
			for i := range 3 {
				w.sh(t, fmt.Sprintf(`naru run -d --name killed%d %s sh -c 'i=0; while [ $i -lt %d ]; do echo line $i; i=$((i+1)); sleep 0.02; done; exit %d'`, i, img, lines, 10+i))
			}
			w.killEngine(t)
			if got := w.sh(t, "naru ps -q -f name=killed | wc -l"); got == "0" {
				t.Error("no container is up after the engine's death")
			}
			w.killEngine(t)
			var want strings.Builder
			for i := range lines {
				fmt.Fprintf(&want, "line %d\n", i)
			}
			for i := range 3 {
				if got := w.sh(t, fmt.Sprintf("naru wait killed%d", i)); got != fmt.Sprint(10+i) {
					t.Errorf("killed%d: exit code %s, want %d", i, got, 10+i)
				}
				if got := w.sh(t, fmt.Sprintf("naru logs killed%d", i)); got+"\n" != want.String() {
					t.Errorf("killed%d: the log is not whole: %d bytes, want %d", i, len(got)+1, want.Len())
				}
			}
			w.sh(t, "naru rm killed0 killed1 killed2")
		})
	}
}
