package boot

import (
	"fmt"
	"os"
	"strings"
)

// settings are the sysctls that differ from the kernel's defaults. Those marked optional come with a module that a
// later image may do without.
var settings = []struct {
	path, value string
	optional    bool
}{
	{path: "net/ipv4/ip_forward", value: "1"},
	// Hundreds of containers, each with neighbours and connections of its own.
	{path: "net/ipv4/neigh/default/gc_thresh1", value: "4096"},
	{path: "net/ipv4/neigh/default/gc_thresh2", value: "8192"},
	{path: "net/ipv4/neigh/default/gc_thresh3", value: "16384"},
	{path: "net/netfilter/nf_conntrack_max", value: "262144", optional: true},
	{path: "fs/inotify/max_user_instances", value: "8192"},
	{path: "fs/inotify/max_user_watches", value: "1048576"},
	{path: "fs/aio-max-nr", value: "1048576"},
	{path: "kernel/pid_max", value: "4194304"},
	{path: "vm/max_map_count", value: "1048576"}, // Elasticsearch and many a JVM refuse the default
	{path: "vm/overcommit_memory", value: "1"},   // Redis and others fork with a large heap
	{path: "kernel/panic", value: "-1"},          // reset at once: the host sees the VM end
}

func writeSettings() error {
	for _, s := range settings {
		err := os.WriteFile("/proc/sys/"+s.path, []byte(s.value), 0)
		if err != nil && !(s.optional && os.IsNotExist(err)) {
			return fmt.Errorf("set %s to %s: %w", strings.ReplaceAll(s.path, "/", "."), s.value, err)
		}
	}
	return nil
}

// delegateControllers lets the cgroups below the root use every controller that the kernel has.
func delegateControllers() error {
	const root = "/sys/fs/cgroup/"
	list, err := os.ReadFile(root + "cgroup.controllers")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(list)) {
		if err := os.WriteFile(root+"cgroup.subtree_control", []byte("+"+name), 0); err != nil {
			return fmt.Errorf("enable %s: %w", name, err)
		}
	}
	return nil
}
