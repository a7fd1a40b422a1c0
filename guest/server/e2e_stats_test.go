package server

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

func TestTopAndStats(t *testing.T) {
	d := startDaemon(t)
	id := d.up("up", nil, "wait")

	t.Run("top", func(t *testing.T) {
		d.inside(id, "echo")
		x, err := d.ExecCreate(t.Context(), id, client.ExecCreateOptions{Cmd: []string{"/probe", "stubborn"}, User: "u"})
		must(t, err)
		_, err = d.ExecStart(t.Context(), x.ID, client.ExecStartOptions{Detach: true})
		must(t, err)
		top, err := d.ContainerTop(t.Context(), id, client.ContainerTopOptions{Arguments: []string{"-eo", "pid,user,args"}})
		must(t, err)
		var got []string
		for _, p := range top.Processes {
			got = append(got, strings.Join(p[1:], " "))
		}
		if want := []string{"root /probe wait", "u /probe stubborn"}; !slices.Equal(top.Titles, []string{"PID", "USER", "COMMAND"}) || !slices.Equal(got, want) {
			t.Errorf("%q %q", top.Titles, got)
		}
		top, err = d.ContainerTop(t.Context(), id, client.ContainerTopOptions{})
		must(t, err)
		if !slices.Equal(top.Titles, []string{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}) || len(top.Processes) != 2 {
			t.Errorf("-ef: %q", top)
		}
	})

	t.Run("one shot", func(t *testing.T) {
		s := d.stats(id, client.ContainerStatsOptions{})
		if s.ID != id || s.Name != "/up" || s.OSType != "linux" || s.MemoryStats.Usage == 0 || s.MemoryStats.Limit == 0 || s.CPUStats.CPUUsage.TotalUsage == 0 ||
			s.CPUStats.OnlineCPUs == 0 || s.PidsStats.Current == 0 || !s.PreRead.IsZero() || s.Networks["eth0"].TxBytes == 0 && s.Networks["eth0"].RxBytes == 0 {
			t.Errorf("%+v", s)
		}
	})

	t.Run("with the sample before", func(t *testing.T) {
		s := d.stats(id, client.ContainerStatsOptions{IncludePreviousSample: true})
		if s.PreRead.IsZero() || !s.Read.After(s.PreRead) || s.CPUStats.SystemUsage <= s.PreCPUStats.SystemUsage || s.CPUStats.CPUUsage.TotalUsage < s.PreCPUStats.CPUUsage.TotalUsage {
			t.Errorf("%+v", s)
		}
	})

	t.Run("streams end with the container", func(t *testing.T) {
		other := d.up("other", nil, "wait")
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var bodies []*json.Decoder
		for range 3 {
			res, err := d.ContainerStats(ctx, other, client.ContainerStatsOptions{Stream: true})
			must(t, err)
			defer res.Body.Close()
			bodies = append(bodies, json.NewDecoder(res.Body))
		}
		var reads []string
		for _, dec := range bodies {
			var s container.StatsResponse
			must(t, dec.Decode(&s))
			if s.PreRead.IsZero() == (s.PreCPUStats.SystemUsage != 0) {
				t.Errorf("first: %+v", s)
			}
			reads = append(reads, s.Read.String())
		}
		_, err := d.ContainerRemove(ctx, other, client.ContainerRemoveOptions{Force: true})
		must(t, err)
		for _, dec := range bodies {
			for {
				var s container.StatsResponse
				err := dec.Decode(&s)
				if err == io.EOF {
					break
				}
				must(t, err)
				if s.ID != other {
					t.Errorf("%+v", s)
				}
			}
		}
		t.Log(reads)
	})

	t.Run("what does not run", func(t *testing.T) {
		stopped := d.create("stopped", nil, container.Config{Cmd: []string{"echo"}})
		s := d.stats(stopped, client.ContainerStatsOptions{IncludePreviousSample: true})
		if s.ID != stopped || s.Name != "/stopped" || !s.Read.IsZero() || s.MemoryStats.Usage != 0 {
			t.Errorf("%+v", s)
		}
	})

	t.Run("no network of its own", func(t *testing.T) {
		host := d.up("host", &container.HostConfig{NetworkMode: "host"}, "wait")
		if s := d.stats(host, client.ContainerStatsOptions{}); len(s.Networks) != 0 {
			t.Errorf("%+v", s.Networks)
		}
	})

	t.Run("older clients know no one-shot", func(t *testing.T) {
		c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", d.home+"/docker.sock")
		}}}
		defer c.CloseIdleConnections()
		res, err := c.Get("http://d/v1.40/containers/" + id + "/stats?stream=0&one-shot=1")
		must(t, err)
		defer res.Body.Close()
		var s container.StatsResponse
		must(t, json.NewDecoder(res.Body).Decode(&s))
		if s.PreRead.IsZero() || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v %+v", res.Header, s)
		}
	})
}

func (d *daemon) stats(id string, o client.ContainerStatsOptions) (s container.StatsResponse) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	res, err := d.ContainerStats(ctx, id, o)
	must(d.t, err)
	defer res.Body.Close()
	must(d.t, json.NewDecoder(res.Body).Decode(&s))
	return s
}
