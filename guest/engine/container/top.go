package container

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"naru/guest/cgroup"
	"naru/guest/ps"
	"naru/guest/runtime"
)

// Top lists the processes of a running container as `ps` does with the given options, "-ef" when there are none.
func (m *Manager) Top(_ context.Context, ref, args string) (*container.TopResponse, error) {
	c, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	r := c.snapshot()
	if err := r.canLook(); err != nil {
		return nil, err
	}
	if strings.TrimSpace(args) == "" {
		args = "-ef"
	}
	format, err := ps.Parse(args)
	if err != nil {
		return nil, errdefs.ErrInternal.WithMessage("ps: " + err.Error())
	}
	pids, err := cgroup.Host().Pids(m.cgroup(c.ID))
	if err != nil {
		return nil, err
	}
	system, err := ps.Host()
	if err != nil {
		return nil, err
	}
	m.nameUsers(c, r.State.Pid, &system)
	table, err := system.Show(format, pids)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(table.Titles, "PID") {
		return nil, errdefs.ErrInternal.WithMessage("Couldn't find PID field in ps output")
	}
	m.emit(c, events.ActionTop)
	return &container.TopResponse{Titles: table.Titles, Processes: table.Rows}, nil
}

// canLook refuses a container without processes.
func (r *record) canLook() error {
	switch {
	case r.State.Status == container.StateRestarting:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is restarting, wait until the container is running", r.ID))
	case r.State.Pid == 0:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", r.ID))
	}
	return nil
}

// nameUsers gives users the names that they have in the container, which are the same on every host. With a user
// namespace the numbers are the host's, and no names.
func (m *Manager) nameUsers(c *Container, pid int, s *ps.System) {
	ids, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	if err != nil || !slices.Equal(strings.Fields(string(ids)), []string{"0", "0", "4294967295"}) {
		return
	}
	users, groups, err := runtime.UserNames(m.rootfsPath(c.ID))
	if err != nil {
		m.Log.Debug("names of users", "id", c.ID, "error", err)
	}
	if users[0] == "" && users != nil {
		users[0] = "root" // an image without users
	}
	s.User = func(uid int) string { return users[uid] }
	s.Group = func(gid int) string { return groups[gid] }
}
