package runtime

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
)

func ptr[T any](v T) *T { return &v }

// able is a kernel that has everything, on two CPUs.
func able() *Kernel {
	return &Kernel{
		Memory: true, Swap: true, MemoryReservation: true, Swappiness: true, OomKillDisable: true, CPUShares: true, CPUQuota: true,
		CPURealtime: true, Cpuset: true, Pids: true, BlkioWeight: true, BlkioWeightDevice: true, ReadBps: true, WriteBps: true,
		ReadIOps: true, WriteIOps: true, CPUs: "0-1", Mems: "0", NumCPU: 2,
	}
}

func TestCheckResourcesRefuses(t *testing.T) {
	for want, r := range map[string]container.Resources{
		"Minimum memory limit allowed is 6MB":                                    {Memory: 1 << 20},
		"Minimum memoryswap limit should be larger than memory limit, see usage": {Memory: 64 << 20, MemorySwap: 32 << 20},
		"You should always set the Memory limit when using Memoryswap limit":     {MemorySwap: 64 << 20},
		"Minimum memory reservation allowed is 6MB":                              {MemoryReservation: 1},
		"Minimum memory limit can not be less than memory reservation limit":     {Memory: 32 << 20, MemoryReservation: 64 << 20},
		"Invalid value: 101, valid memory swappiness range is 0-100":             {MemorySwappiness: ptr(int64(101))},
		"Conflicting options: Nano CPUs and CPU Period cannot both be set":       {NanoCPUs: 1, CPUPeriod: 1000},
		"Conflicting options: Nano CPUs and CPU Quota cannot both be set":        {NanoCPUs: 1, CPUQuota: 1000},
		"range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available": {NanoCPUs: 3e9},
		"invalid CPU shares (-1): value must be a positive integer":              {CPUShares: -1},
		"cpu real-time runtime cannot be higher than cpu real-time period":       {CPURealtimePeriod: 10, CPURealtimeRuntime: 20},
		"CPU cfs period can not be less than 1ms (i.e. 1000)":                    {CPUPeriod: 999},
		"CPU cfs quota can not be less than 1ms (i.e. 1000)":                     {CPUQuota: 999},
		"Requested CPUs are not available - requested 77, available: 0-1":        {CpusetCpus: "77"},
		"Requested memory nodes are not available - requested 1, available: 0":   {CpusetMems: "1"},
		"Invalid value 1-x for cpuset cpus: invalid format: 1-x":                 {CpusetCpus: "1-x"},
		"Invalid value 0-9223372036854775807 for cpuset mems: value of out":      {CpusetMems: "0-9223372036854775807"},
		"Range of blkio weight is from 10 to 1000":                               {BlkioWeight: 5},
		"Invalid QoS settings":         {IOMaximumIOps: 1},
		"invalid ulimit type: nofiles": {Ulimits: []*container.Ulimit{{Name: "nofiles"}}},
		"ulimit soft limit must be less than or equal to hard limit: 2 > 1": {Ulimits: []*container.Ulimit{{Name: "nofile", Soft: 2, Hard: 1}}},
		"invalid ulimit: must not be null":                                  {Ulimits: []*container.Ulimit{nil}},
	} {
		_, err := CheckResources(&r, able(), false)
		if err == nil || !strings.Contains(err.Error(), want) || !errdefs.IsInvalidArgument(err) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := CheckResources(&container.Resources{CPURealtimePeriod: 10}, &Kernel{NumCPU: 1}, false); err == nil {
		t.Error("real time without support is accepted")
	}
}

func TestCheckResourcesAccepts(t *testing.T) {
	for name, r := range map[string]container.Resources{
		"unlimited swap":      {Memory: 64 << 20, MemorySwap: -1},
		"no swap":             {Memory: 64 << 20, MemorySwap: 64 << 20},
		"swappiness unset":    {MemorySwappiness: ptr(int64(-1))},
		"all CPUs":            {CpusetCpus: "0,1,0-1", CpusetMems: "0"},
		"no quota":            {CPUQuota: -1},
		"no process limit":    {PidsLimit: ptr(int64(-1))},
		"unlimited ulimit":    {Ulimits: []*container.Ulimit{{Name: "core", Soft: -1, Hard: -1}, {Name: "nproc", Soft: 5, Hard: -1}}},
		"weight of a device":  {BlkioWeightDevice: []*blkiodev.WeightDevice{{Path: "/dev/null", Weight: 10}}},
		"two CPUs of two":     {NanoCPUs: 2e9},
		"kernel memory is in": {},
	} {
		warnings, err := CheckResources(&r, able(), false)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v %q", name, err, warnings)
		}
	}
}

// What a kernel lacks is taken out, with a warning for each; only --cpus is an error, as in Docker.
func TestCheckResourcesDiscards(t *testing.T) {
	one := []*blkiodev.ThrottleDevice{{Path: "/dev/null", Rate: 1}}
	r := container.Resources{
		Memory: 64 << 20, MemorySwap: 128 << 20, MemoryReservation: 32 << 20, MemorySwappiness: ptr(int64(5)), OomKillDisable: ptr(true),
		PidsLimit: ptr(int64(5)), CPUShares: 5, CPUPeriod: 5000, CpusetCpus: "0", BlkioWeight: 10, BlkioDeviceReadBps: one,
		BlkioWeightDevice:   []*blkiodev.WeightDevice{{Path: "/dev/null", Weight: 10}},
		BlkioDeviceWriteBps: one, BlkioDeviceReadIOps: one, BlkioDeviceWriteIOps: one,
	}
	warnings, err := CheckResources(&r, &Kernel{NumCPU: 1}, false)
	if err != nil || len(warnings) != 14 {
		t.Errorf("%v, %d warnings: %q", err, len(warnings), warnings)
	}
	spec, err := Resources(&r)
	if err != nil || spec.Memory != nil || spec.CPU != nil || spec.Pids != nil || spec.BlockIO != nil {
		t.Errorf("%v, left: %+v", err, spec)
	}
	if _, err := CheckResources(&container.Resources{NanoCPUs: 1e9}, &Kernel{NumCPU: 1}, false); err == nil {
		t.Error("--cpus without a scheduler for it is accepted")
	}
}

func TestResources(t *testing.T) {
	spec, err := Resources(&container.Resources{
		Memory: 64 << 20, MemorySwap: -1, NanoCPUs: 5e8, PidsLimit: ptr(int64(0)), OomKillDisable: ptr(false),
		BlkioDeviceReadBps: []*blkiodev.ThrottleDevice{{Path: "/dev/null", Rate: 7}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if *spec.Memory.Limit != 64<<20 || spec.Memory.Swap != nil || spec.Memory.DisableOOMKiller != nil {
		t.Errorf("memory %+v", spec.Memory)
	}
	if *spec.CPU.Quota != 50000 || *spec.CPU.Period != 100000 || *spec.Pids.Limit != -1 {
		t.Errorf("cpu %+v pids %+v", spec.CPU, spec.Pids)
	}
	if d := spec.BlockIO.ThrottleReadBpsDevice[0]; d.Major != 1 || d.Minor != 3 || d.Rate != 7 {
		t.Errorf("device %+v", d)
	}
	if _, err := Resources(&container.Resources{BlkioDeviceReadBps: []*blkiodev.ThrottleDevice{{Path: "/dev/nothing"}}}); err == nil {
		t.Error("a device that is not there is accepted")
	}
}

func TestValidate(t *testing.T) {
	for want, hc := range map[string]container.HostConfig{
		`invalid CapAdd: unknown capability: "CAP_NONSENSE"`:                              {CapAdd: []string{"nonsense"}},
		`invalid CapDrop: unknown capability: "CAP_X"`:                                    {CapDrop: []string{"CAP_X"}, Privileged: true},
		`invalid --security-opt 1: "foo"`:                                                 {SecurityOpt: []string{"foo"}},
		`invalid --security-opt 2: "no-new-privileges=maybe"`:                             {SecurityOpt: []string{"no-new-privileges=maybe"}},
		`invalid --security-opt 2: "systempaths=unconfined"`:                              {SecurityOpt: []string{"systempaths=unconfined"}},
		`Decoding seccomp profile failed`:                                                 {SecurityOpt: []string{"seccomp={"}},
		`invalid IPC mode: foo`:                                                           {IpcMode: "foo"},
		`invalid PID mode: foo`:                                                           {PidMode: "foo"},
		`invalid UTS mode: foo`:                                                           {UTSMode: "foo"},
		`invalid USER mode: auto`:                                                         {UsernsMode: "auto"},
		`invalid cgroup namespace mode: foo`:                                              {CgroupnsMode: "foo"},
		`SHM size can not be less than 0`:                                                 {ShmSize: -1},
		`Invalid value 1001, range for oom score adj is [-1000, 1000]`:                    {OomScoreAdj: 1001},
		`unknown or invalid runtime name: kata`:                                           {Runtime: "kata"},
		`--storage-opt is supported only for overlay over xfs with 'pquota' mount option`: {StorageOpt: map[string]string{"size": "1g"}},
		`sysctl "kernel.panic" is not in a separate kernel namespace`:                     {Sysctls: map[string]string{"kernel.panic": "1"}},
		`sysctl "net.core.somaxconn" not allowed in host network namespace`:               {Sysctls: map[string]string{"net.core.somaxconn": "1"}, NetworkMode: "host"},
		`sysctl "kernel.msgmax" is not allowed in the hosts ipc namespace`:                {Sysctls: map[string]string{"kernel.msgmax": "1"}, IpcMode: "host"},
		`sysctl "kernel.hostname" is not allowed as it conflicts`:                         {Sysctls: map[string]string{"kernel.hostname": "a"}},
		`invalid sysctl "net/../kernel/core_pattern"`:                                     {Sysctls: map[string]string{"net/../kernel/core_pattern": "a"}},
		`invalid device cgroup rule format: 'x 1:1 r'`:                                    {Resources: container.Resources{DeviceCgroupRules: []string{"x 1:1 r"}}},
		`bad mode specified: rr`:                                                          {Resources: container.Resources{Devices: []container.DeviceMapping{{PathOnHost: "/dev/null", CgroupPermissions: "rr"}}}},
		`invalid user or group id "4294967295"`:                                           {GroupAdd: []string{"4294967295"}},
	} {
		_, err := Validate(&container.Config{}, &hc)
		if err == nil || !strings.Contains(err.Error(), want) || !errdefs.IsInvalidArgument(err) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for _, opt := range []string{"no-new-privileges", "no-new-privileges=true", "no-new-privileges:false", "seccomp=builtin",
		"seccomp=unconfined", "apparmor=unconfined", "label=disable", "label:disable", "disable", "writable-cgroups=1"} {
		if _, err := Validate(&container.Config{}, &container.HostConfig{SecurityOpt: []string{opt}}); err != nil {
			t.Errorf("%s: %v", opt, err)
		}
	}
	if _, err := Validate(&container.Config{User: "0:-1"}, &container.HostConfig{}); err == nil {
		t.Error("group -1 is accepted")
	}
}

func TestDevices(t *testing.T) {
	hc := &container.HostConfig{Resources: container.Resources{
		Devices:           []container.DeviceMapping{{PathOnHost: "/dev/zero", PathInContainer: "/dev/nil", CgroupPermissions: "r"}, {PathOnHost: "/dev", PathInContainer: "/hostdev"}},
		DeviceCgroupRules: []string{"c 7:* rwm"},
	}}
	spec, err := Spec(Container{Rootfs: t.TempDir(), Config: &container.Config{Cmd: []string{"x"}}, HostConfig: hc})
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	for _, d := range spec.Linux.Devices {
		paths[d.Path] = true
	}
	if !paths["/dev/nil"] || !paths["/hostdev/null"] {
		t.Errorf("devices: %v", paths)
	}
	last := spec.Linux.Resources.Devices[len(spec.Linux.Resources.Devices)-1]
	if *last.Major != 7 || last.Minor != nil || last.Access != "rwm" {
		t.Errorf("rule %+v", last)
	}
	for want, hc := range map[string]container.Resources{
		`error gathering device information while adding custom device "/dev/nothing": no such file or directory`: {Devices: []container.DeviceMapping{{PathOnHost: "/dev/nothing"}}},
		`error gathering device information while adding custom device "/etc/passwd": not a device node`:          {Devices: []container.DeviceMapping{{PathOnHost: "/etc/passwd"}}},
		`could not select device driver "" with capabilities: [[gpu]]`:                                            {DeviceRequests: []container.DeviceRequest{{Count: -1, Capabilities: [][]string{{"gpu"}}}}},
		`could not select device driver "cdi" with capabilities: []`:                                              {DeviceRequests: []container.DeviceRequest{{Driver: "cdi", DeviceIDs: []string{"a.b/c=d"}}}},
	} {
		_, err := Spec(Container{Rootfs: t.TempDir(), Config: &container.Config{Cmd: []string{"x"}}, HostConfig: &container.HostConfig{Resources: hc}})
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestAppArmorProfile(t *testing.T) {
	loaded := 0
	install := func() error { loaded++; return nil }
	for _, tc := range []struct {
		wish                string
		privileged, enabled bool
		want                string
	}{
		{"", false, false, ""},
		{"custom", false, false, ""},
		{"", false, true, "docker-default"},
		{"docker-default", true, true, "docker-default"},
		{"", true, true, "unconfined"},
		{"custom", true, true, "custom"},
		{"unconfined", false, true, "unconfined"},
	} {
		got, err := profile(SecurityOpt{AppArmor: tc.wish}, tc.privileged, tc.enabled, install)
		if err != nil || got != tc.want {
			t.Errorf("%+v: %q, %v", tc, got, err)
		}
	}
	if loaded != 2 {
		t.Errorf("the default profile was loaded %d times", loaded)
	}
}

func TestIDMap(t *testing.T) {
	for _, m := range []IDMap{
		{UIDs: []IDRange{{0, 100000, 65536}}, GIDs: []IDRange{{1, 100000, 65536}}},
		{UIDs: []IDRange{{0, 0, 65536}}, GIDs: []IDRange{{0, 100000, 65536}}},
		{UIDs: []IDRange{{0, 4294967000, 65536}}, GIDs: []IDRange{{0, 100000, 65536}}},
		{UIDs: []IDRange{{0, 100000, 10}, {5, 200000, 10}}, GIDs: []IDRange{{0, 100000, 65536}}},
	} {
		if m.Check() == nil {
			t.Errorf("accepted: %+v", m)
		}
	}
	m := IDMap{UIDs: []IDRange{{0, 100000, 10}, {10, 300000, 10}}, GIDs: []IDRange{{0, 200000, 65536}}}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	if uid, gid := m.Root(); uid != 100000 || gid != 200000 || hostID(m.UIDs, 12) != 300002 {
		t.Error("wrong ids")
	}
}
