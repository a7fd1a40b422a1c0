package acceptance

import (
	"fmt"
	"testing"
)

// TestLogsFollowKilledEngine: a follower that began before the engine was killed, over a log that is rotated meanwhile,
// shows every line once.
func TestLogsFollowKilledEngine(t *testing.T) {
	for _, name := range contexts {
		t.Run(name, func(t *testing.T) {
			w := inContext(t, name)
			img := w.image(t, "bookworm")
			const lines = 3000
			for i, driver := range []string{"json-file", "local"} {
				id := fmt.Sprintf("followed%d", i)
				w.sh(t, fmt.Sprintf(`naru run -d --log-driver %s --log-opt max-size=10k --log-opt max-file=500 --name %s %s bash -c 'for ((i=0; i<%d; i++)); do echo line $i; if ((i%%10 == 0)); then sleep 0.01; fi; done' >/dev/null`,
					driver, id, img, lines))
				shown := make(chan result, 1)
				go func() { shown <- w.exec(result{script: "naru logs -f " + id}) }()
				for range 3 {
					w.sh(t, "naru logs -f "+id+" | head -100 >/dev/null") // so that the follower is on its way
					w.killEngine(t)
				}
				r := <-shown
				want := ""
				for n := range lines {
					want += fmt.Sprintf("line %d\n", n)
				}
				if r.code != 0 || r.stdout != want {
					t.Errorf("%s: exit code %d, %d bytes of %d: %s", driver, r.code, len(r.stdout), len(want), r.stderr)
				}
				w.sh(t, "naru rm "+id)
			}
		})
	}
}
