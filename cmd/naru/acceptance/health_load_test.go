package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"golang.org/x/sync/errgroup"
)

// TestHealthLoad: many containers with a health check every second. No probe is lost, none fails, and meanwhile the engine
// answers: 99 of 100 pings within 100 ms. NARU_TEST_HEALTH is the number of containers, NARU_TEST_SECONDS how long they are
// watched; at full size:
//
//	NARU_TEST_HEALTH=200 NARU_TEST_SECONDS=60 go test -count=1 -v -run TestHealthLoad ./cmd/naru/acceptance
func TestHealthLoad(t *testing.T) {
	requireBuilt(t, "direct")
	w := newWorld(t, "direct")
	t.Cleanup(w.stop)
	l := newHealthLoad(filepath.Join(w.home, "docker.sock"), w.image(t, "bookworm"))
	l.run(t, cpuOf(t, w))
	w.sh(t, "naru ps -aq | xargs -r naru rm -f >/dev/null")
}

// TestHealthLoadOfDocker is the same with dockerd, to compare the figures. It is not expected to pass at full size.
func TestHealthLoadOfDocker(t *testing.T) {
	if os.Getenv("NARU_TEST_HEALTH_DOCKER") == "" {
		t.Skip("for comparison only; run `NARU_TEST_HEALTH_DOCKER=1 go test -run TestHealthLoadOfDocker ./cmd/naru/acceptance`")
	}
	docker := startDocker(t)
	if docker == nil {
		t.Skip("no dockerd to compare with; run `scripts/peers`")
	}
	newHealthLoad(docker.socket, docker.vars["IMG"]).run(t, func() cpuUse { return cpuUse{machine: machineTime()} })
}

func newHealthLoad(socket, image string) *healthLoad {
	return &healthLoad{
		client: unixClient(socket), n: numberFrom("NARU_TEST_HEALTH", 20), image: image,
		time: time.Duration(numberFrom("NARU_TEST_SECONDS", 6)) * time.Second, probes: map[string]*probeSeen{},
	}
}

func (l *healthLoad) run(t *testing.T, cpu func() cpuUse) {
	defer l.client.CloseIdleConnections()
	if err := l.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.watch(t.Context(), cpu); err != nil {
		t.Fatal(err)
	}
	l.check(t)
	t.Log(l.figures)
}

// healthLoad is one run of it.
type healthLoad struct {
	client  *http.Client
	n       int
	time    time.Duration
	image   string
	ids     []string
	pings   []time.Duration
	probes  map[string]*probeSeen // by exec
	figures string
}

// probeSeen is what the events told of one probe.
type probeSeen struct {
	container            string
	created, start, died time.Time
	code                 string
}

func unixClient(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
}

// start makes the containers and waits until all are healthy.
func (l *healthLoad) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, caseTime)
	defer cancel()
	body := fmt.Sprintf(`{"Image":%q,"Cmd":["sleep","100000"],"StopSignal":"KILL","HostConfig":{"NetworkMode":"none"},
		"Healthcheck":{"Test":["CMD","true"],"Interval":1000000000,"Timeout":20000000000,"Retries":1}}`, l.image)
	l.ids = make([]string, l.n)
	g, making := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i := range l.n {
		g.Go(func() error {
			var made container.CreateResponse
			if err := l.post(making, fmt.Sprintf("/containers/create?name=health%d", i), body, &made); err != nil {
				return err
			}
			l.ids[i] = made.ID
			return l.post(making, "/containers/"+made.ID+"/start", "", nil)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for {
		var list []container.Summary
		if err := l.get(ctx, "/containers/json?filters="+url.QueryEscape(`{"health":["healthy"]}`), &list); err != nil {
			return err
		}
		if len(list) == l.n {
			return nil
		}
	}
}

func (l *healthLoad) post(ctx context.Context, path, body string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://naru"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return l.do(req, into)
}

func (l *healthLoad) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://naru"+path, nil)
	if err != nil {
		return err
	}
	return l.do(req, into)
}

func (l *healthLoad) do(req *http.Request, into any) error {
	res, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 400 {
		return fmt.Errorf("%s: %d %s %w", req.URL.Path, res.StatusCode, data, err)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(data, into)
}

// watch listens to the events and pings, for as long as it was asked to.
func (l *healthLoad) watch(ctx context.Context, cpu func() cpuUse) error {
	ctx, cancel := context.WithTimeout(ctx, l.time)
	defer cancel()
	before := cpu()
	began := time.Now()
	var all errgroup.Group
	all.Go(func() error { return l.listen(ctx) })
	all.Go(func() error { return l.ping(ctx) })
	err := all.Wait()
	l.figures = cpu().since(before, time.Since(began))
	return err
}

func (l *healthLoad) listen(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://naru/events", nil)
	if err != nil {
		return err
	}
	res, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	for dec := json.NewDecoder(res.Body); ; {
		var m events.Message
		if err := dec.Decode(&m); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("events: %w", err)
		}
		l.heard(&m)
	}
}

func (l *healthLoad) heard(m *events.Message) {
	id, at := m.Actor.Attributes["execID"], time.Unix(0, m.TimeNano)
	if id == "" {
		return
	}
	p := l.probes[id]
	if p == nil {
		p = &probeSeen{container: m.Actor.ID}
		l.probes[id] = p
	}
	switch what, _, _ := strings.Cut(string(m.Action), ":"); what {
	case "exec_create":
		p.created = at
	case "exec_start":
		p.start = at
	case "exec_die":
		p.died, p.code = at, m.Actor.Attributes["exitCode"]
	}
}

func (l *healthLoad) ping(ctx context.Context) error {
	for ticker := time.NewTicker(20 * time.Millisecond); ; {
		began := time.Now()
		if err := l.get(ctx, "/_ping", nil); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		l.pings = append(l.pings, time.Since(began))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			ticker.Stop()
			return nil
		}
	}
}

// check says what was lost, and completes the figures.
func (l *healthLoad) check(t *testing.T) {
	end := time.Now()
	ran := map[string][]*probeSeen{}
	var took []time.Duration
	for id, p := range l.probes {
		if p.created.IsZero() { // it had begun before we listened
			continue
		}
		if p.died.IsZero() && end.Sub(p.created) > 10*time.Second || p.start.IsZero() && !p.died.IsZero() {
			t.Errorf("probe %s was lost: %+v", id, *p)
		}
		if p.died.IsZero() {
			continue
		}
		if p.code != "0" {
			t.Errorf("probe %s ended with %s", id, p.code)
		}
		ran[p.container] = append(ran[p.container], p)
		took = append(took, p.died.Sub(p.created))
	}
	var periods []time.Duration
	for _, id := range l.ids {
		list := ran[id]
		slices.SortFunc(list, func(a, b *probeSeen) int { return a.created.Compare(b.created) })
		for i := 1; i < len(list); i++ {
			periods = append(periods, list[i].created.Sub(list[i-1].created))
			if list[i].created.Before(list[i-1].died) {
				t.Errorf("two probes of %s at the same time", id[:12])
			}
		}
		if len(list) == 0 {
			t.Errorf("no probe of %s", id[:12])
		}
		l.checkState(t, id)
	}
	if p99 := quantile(l.pings, 0.99); p99 >= 100*time.Millisecond {
		t.Errorf("99 %% of pings within %v", p99)
	}
	l.figures = fmt.Sprintf("%d containers, %v: %.1f probes/s; period p50 %v p99 %v; probe p50 %v p99 %v; %d pings p50 %v p99 %v max %v; %s", l.n, l.time,
		float64(len(took))/l.time.Seconds(), quantile(periods, 0.5), quantile(periods, 0.99), quantile(took, 0.5), quantile(took, 0.99),
		len(l.pings), quantile(l.pings, 0.5), quantile(l.pings, 0.99), quantile(l.pings, 1), l.figures)
}

func (l *healthLoad) checkState(t *testing.T, id string) {
	var c container.InspectResponse
	if err := l.get(t.Context(), "/containers/"+id+"/json", &c); err != nil {
		t.Error(err)
		return
	}
	h := c.State.Health
	if h == nil || h.Status != container.Healthy || h.FailingStreak != 0 || len(h.Log) == 0 {
		t.Errorf("health of %s: %+v", id[:12], h)
	}
}

func quantile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return list[min(len(list)-1, int(q*float64(len(list))))].Round(10 * time.Microsecond)
}

// cpuUse is processor time in hundredths of a second: of the engine, the keeper, what the keeper has waited for (crun and
// the probes), and of the whole machine.
type cpuUse struct{ engine, keeper, children, machine int }

// cpuOf returns a function that reads it.
func cpuOf(t *testing.T, w *world) func() cpuUse {
	t.Helper()
	pid := func(name string) string {
		pids := w.processes(name)
		if len(pids) != 1 {
			t.Fatalf("%s: processes %v", name, pids)
		}
		return strconv.Itoa(pids[0])
	}
	engine, keeper := pid("naru-engine"), pid("naru-keeper")
	return func() cpuUse {
		e, k := statFields("/proc/"+engine+"/stat"), statFields("/proc/"+keeper+"/stat")
		return cpuUse{e[11] + e[12], k[11] + k[12], k[13] + k[14], machineTime()}
	}
}

func machineTime() int {
	m := statFields("/proc/stat")
	return m[0] + m[1] + m[2] + m[5] + m[6]
}

// statFields are the numbers of a file in /proc behind the name in parentheses, or the first word.
func statFields(path string) []int {
	data, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(data), "\n")
	_, line, _ = strings.Cut(line[strings.LastIndexByte(line, ')')+1:], " ")
	var out []int
	for _, f := range strings.Fields(line) {
		n, _ := strconv.Atoi(f)
		out = append(out, n)
	}
	return append(out, make([]int, 20)...)
}

func (u cpuUse) since(before cpuUse, d time.Duration) string {
	cores := func(a, b int) float64 { return float64(a-b) / 100 / d.Seconds() }
	return fmt.Sprintf("processors: engine %.2f, keeper %.2f, crun and probes %.2f, whole machine %.2f", cores(u.engine, before.engine),
		cores(u.keeper, before.keeper), cores(u.children, before.children), cores(u.machine, before.machine))
}
