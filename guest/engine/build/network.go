package build

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	stdruntime "runtime"
	"time"

	"github.com/containerd/containerd/v2/pkg/oci"
	resourcetypes "github.com/moby/buildkit/executor/resources/types"
	buildnetwork "github.com/moby/buildkit/util/network"
	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"naru/guest/engine/network"
	"naru/guest/runtime"
)

// bridge gives a step the network that a container has by default.
type bridge struct {
	networks Networks
	log      *slog.Logger
}

func (b *bridge) New(ctx context.Context, hostname string, _ buildnetwork.NamespaceOptions) (buildnetwork.Namespace, error) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	id := hex.EncodeToString(random[:])
	box, err := b.networks.Attach(ctx, network.Request{ContainerID: id, Name: "build-" + id[:12], Hostname: hostname, Mode: "bridge"})
	if err != nil {
		return nil, fmt.Errorf("network of a build step: %w", err)
	}
	return &bridgeNamespace{b, id, box.Path}, nil
}

func (b *bridge) Close() error { return nil }

type bridgeNamespace struct {
	b        *bridge
	id, path string
}

func (n *bridgeNamespace) Set(s *specs.Spec) error {
	return oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: n.path})(nil, nil, nil, s)
}

func (n *bridgeNamespace) Sample() (*resourcetypes.NetworkSample, error) { return nil, nil }

// detachTimeout bounds the end of a step whose build may have been cancelled.
const detachTimeout = 10 * time.Second

func (n *bridgeNamespace) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), detachTimeout)
	defer cancel()
	return n.b.networks.Detach(ctx, n.id)
}

// guarded gives a step the seccomp profile that containers have, whatever network it has. Setting the network is the last
// thing that BuildKit does to a spec, and the only place where it asks us; its own profile lets AF_VSOCK through.
type guarded struct{ buildnetwork.Provider }

func (g guarded) New(ctx context.Context, hostname string, o buildnetwork.NamespaceOptions) (buildnetwork.Namespace, error) {
	n, err := g.Provider.New(ctx, hostname, o)
	if err != nil {
		return nil, err
	}
	return &guardedNamespace{Namespace: n}, nil
}

type guardedNamespace struct {
	buildnetwork.Namespace
	cgroup string // of the step; "" until Set
}

// Close is called when the step's container is gone.
func (g *guardedNamespace) Close() error {
	return errors.Join(g.Namespace.Close(), runtime.RemoveHidden(g.cgroup))
}

func (g *guardedNamespace) Set(s *specs.Spec) (err error) {
	g.cgroup = s.Linux.CgroupsPath
	if err := g.Namespace.Set(s); err != nil {
		return err
	}
	if s.Linux.Seccomp, err = seccomp.GetDefaultProfile(s); err != nil {
		return fmt.Errorf("seccomp profile of a build step: %w", err)
	}
	if s.Linux.Resources == nil {
		s.Linux.Resources = &specs.LinuxResources{}
	}
	limit := pidsLimit()
	s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit}
	return nil
}

// pidsLimit is how many processes and threads a step may have. A container's user sets its limit; a build has no option for
// it, and a step that forks without end would take the host's. No compiler comes near to it.
func pidsLimit() int64 { return 4096 + 512*int64(stdruntime.NumCPU()) }
