// Package relay connects containers in the VM with unix sockets of the host: the user's ssh-agent, those that the settings
// name, and those in shared folders.
//
// The guest names a path and is not trusted: a socket in a share is opened from the share's descriptor, following no link,
// and what is connected to is what was opened. Sockets of this installation are never given away: who reaches them
// rules the machine.
package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"naru/guest/api"
)

const dialTimeout = 10 * time.Second

// Sockets are those that may be reached. Its methods are safe for concurrent use.
type Sockets struct {
	Shares []string // shared folders
	Named  []string // paths of sockets that the user named; links there are the user's own
	Own    string   // a folder of which nothing may be reached
	// Agents are where the user's ssh-agent may listen, the likeliest first. It is asked at each connection: agents end
	// and begin with logins.
	Agents func() []string
}

// Takes tells whether a target of api.OpDial is one for Dial.
func Takes(target string) bool {
	return target == api.TargetAgent || strings.HasPrefix(target, "unix:")
}

// Dial connects to a target.
func (s *Sockets) Dial(ctx context.Context, target string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if target == api.TargetAgent {
		return s.dialAgent(ctx)
	}
	path, ok := strings.CutPrefix(target, "unix:")
	if !ok || !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return nil, fmt.Errorf("bad target %q", target)
	}
	if s.Own != "" && (path == s.Own || strings.HasPrefix(path, s.Own+string(filepath.Separator))) {
		return nil, fmt.Errorf("%s is a socket of naru's own", path)
	}
	if slices.Contains(s.Named, path) {
		return dial(ctx, path)
	}
	best := ""
	for _, share := range s.Shares {
		if strings.HasPrefix(path, share+string(filepath.Separator)) && len(share) > len(best) {
			best = share
		}
	}
	if best == "" {
		return nil, fmt.Errorf("%s is in no shared folder, and no socket of the settings", path)
	}
	return dialBelow(ctx, best, path[len(best)+1:])
}

func (s *Sockets) dialAgent(ctx context.Context) (net.Conn, error) {
	err := errors.New("the host has no ssh-agent: SSH_AUTH_SOCK is not set")
	if s.Agents == nil {
		return nil, err
	}
	for _, path := range s.Agents() {
		if path == "" {
			continue
		}
		var conn net.Conn
		if conn, err = dial(ctx, path); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", path, errors.Unwrap(err))
	}
	return conn, nil
}

// AgentsOf are where the user's ssh-agent may listen: at the link's target, which the CLI keeps at the agent of the
// terminal it was last used in, then where this process's own environment says.
func AgentsOf(link string) func() []string {
	return func() []string {
		noted, _ := os.Readlink(link) // absent: nobody has noted one
		return []string{noted, os.Getenv("SSH_AUTH_SOCK")}
	}
}

// NoteAgent keeps link at the agent of this process's environment. It is quick when that is so already, and an error
// only costs the note.
func NoteAgent(link string) {
	agent := os.Getenv("SSH_AUTH_SOCK")
	if noted, _ := os.Readlink(link); agent == "" || !filepath.IsAbs(agent) || noted == agent {
		return
	}
	tmp := fmt.Sprintf("%s.%d", link, os.Getpid())
	if os.Symlink(agent, tmp) == nil && os.Rename(tmp, link) != nil {
		_ = os.Remove(tmp)
	}
}
