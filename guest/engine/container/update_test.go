package container

import (
	"encoding/json"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"naru/guest/runtime"
)

func TestUpdateConflicts(t *testing.T) {
	for _, c := range []struct{ now, change container.Resources }{
		{container.Resources{CPUPeriod: 1000}, container.Resources{NanoCPUs: 1}},
		{container.Resources{CPUQuota: 1000}, container.Resources{NanoCPUs: 1}},
		{container.Resources{NanoCPUs: 1}, container.Resources{CPUPeriod: 1000}},
		{container.Resources{NanoCPUs: 1}, container.Resources{CPUQuota: 1000}},
		{container.Resources{Memory: 10, MemorySwap: 20}, container.Resources{Memory: 30}},
		{container.Resources{MemorySwap: -1}, container.Resources{Memory: 30}},
	} {
		if err := conflicts(&c.now, &c.change); !errdefs.IsConflict(err) {
			t.Errorf("%+v in %+v: %v", c.change, c.now, err)
		}
	}
	if err := conflicts(&container.Resources{Memory: 10, MemorySwap: 20}, &container.Resources{Memory: 30, MemorySwap: 60}); err != nil {
		t.Error(err)
	}
}

// TestTakeBack: what is written when an update was refused makes the limits what they were.
func TestTakeBack(t *testing.T) {
	two, three := int64(2), int64(3)
	for _, c := range []struct {
		name        string
		old, change container.Resources
		want        string
	}{
		{"from nothing", container.Resources{}, container.Resources{Memory: 10, MemorySwap: 20, CPUShares: 7, NanoCPUs: 5e8, PidsLimit: &two},
			`{"memory":{"limit":-1,"swap":-1},"cpu":{"shares":1024,"quota":-1,"period":100000},"pids":{"limit":-1}}`},
		{"from something", container.Resources{Memory: 5, MemorySwap: 6, CPUShares: 9, NanoCPUs: 1e9, PidsLimit: &three},
			container.Resources{Memory: 10, MemorySwap: 20, CPUShares: 7, NanoCPUs: 5e8, PidsLimit: &two},
			`{"memory":{"limit":5,"swap":6},"cpu":{"shares":9,"quota":100000,"period":100000},"pids":{"limit":3}}`},
		{"what was left alone", container.Resources{Memory: 5, CPUShares: 9}, container.Resources{PidsLimit: &two}, `{"pids":{"limit":-1}}`},
		{"the policy", container.Resources{Memory: 5}, container.Resources{}, `null`},
	} {
		back := unlimited(c.old, &c.change)
		r, err := runtime.Update(back, back)
		if err != nil {
			t.Fatal(err)
		}
		if r != nil && r.Memory != nil && r.Memory.Swap == nil { // a kernel that does not count swap
			r.Memory.Swap = &back.MemorySwap
		}
		got, err := json.Marshal(r)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestMergeResources(t *testing.T) {
	limit := int64(5)
	r := container.Resources{Memory: 1, MemorySwap: 2, CPUShares: 3, CpusetCpus: "0", PidsLimit: &limit}
	mergeResources(&r, &container.Resources{Memory: 10, MemorySwap: -1, CpusetMems: "0", BlkioWeight: 100})
	if r.Memory != 10 || r.MemorySwap != -1 || r.CPUShares != 3 || r.CpusetCpus != "0" || r.CpusetMems != "0" || r.BlkioWeight != 100 || r.PidsLimit != &limit {
		t.Errorf("%+v", r)
	}
}
