package server

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// cgroupsAt are the folders of a cgroup in all hierarchies.
func cgroupsAt(path string) []string {
	two, _ := filepath.Glob("/sys/fs/cgroup" + path)
	one, _ := filepath.Glob("/sys/fs/cgroup/*" + path)
	return append(two, one...)
}

// A parent that was not there goes with its last container; one that was stays. A keeper that is killed leaves no process
// behind in it.
func TestCgroupParent(t *testing.T) {
	d := startDaemon(t)
	ctx := t.Context()
	top := fmt.Sprintf("/nparent%d", os.Getpid())
	t.Cleanup(func() {
		for _, dir := range append(cgroupsAt(top+"/deep"), cgroupsAt(top)...) {
			_ = os.Remove(dir)
		}
	})
	hc := &container.HostConfig{Resources: container.Resources{CgroupParent: top + "/deep/../deep"}}
	one, two := d.up("one", hc, "wait"), d.up("two", hc, "wait")
	if len(cgroupsAt(top+"/deep/"+one)) == 0 {
		t.Fatal("the container is not in its parent")
	}
	d.killEngine()
	_, err := d.ContainerRemove(ctx, one, client.ContainerRemoveOptions{Force: true})
	must(t, err)
	if len(cgroupsAt(top+"/deep/"+two)) == 0 || len(cgroupsAt(top+"/deep/"+one)) != 0 {
		t.Errorf("after the first has gone: %q", cgroupsAt(top+"/deep/*"))
	}
	_, err = d.ContainerRemove(ctx, two, client.ContainerRemoveOptions{Force: true})
	must(t, err)
	if left := cgroupsAt(top); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}

	three := d.up("three", hc, "wait")
	pid := d.inspect(three).State.Pid
	d.Client.Close()
	must(t, d.cmd.Process.Kill())
	_ = d.cmd.Wait()
	d.start()
	if s := d.inspect(three).State; s.Running {
		t.Errorf("the container of a keeper that was killed: %+v", s)
	}
	d.eventually("the process of a keeper that was killed is gone", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
		return err != nil && len(cgroupsAt(top+"/deep/"+three)) == 0
	})
}
