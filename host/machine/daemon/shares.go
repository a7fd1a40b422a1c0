package daemon

import (
	"context"
	"io"
	"os"
	"strconv"
	"time"

	"naru/guest/api"
	"naru/host/relay"
	"naru/platform"
)

// share is one shared folder, as the backend and as the guest know it.
type share struct {
	host  platform.Share
	guest api.Share
}

// planShares is what of the settings' shares there can be: a folder that is gone, or a backend that cannot share,
// is no reason not to boot. A bind mount of it is refused by the engine then.
func (d *Daemon) planShares(report platform.Report) (out []share) {
	if report.ShareType == "" {
		if len(d.settings.Shares) > 0 {
			d.log.Warn("no folder is shared", "reason", report.ShareNote)
		}
		return nil
	}
	for i, s := range d.settings.Shares {
		if info, err := os.Stat(s.Path); err != nil || !info.IsDir() {
			d.log.Warn("a folder cannot be shared: it is not there", "path", s.Path)
			continue
		}
		tag := "share" + strconv.Itoa(i)
		out = append(out, share{
			host:  platform.Share{Tag: tag, Path: s.Path, ReadOnly: s.ReadOnly},
			guest: api.Share{Tag: tag, Type: report.ShareType, Path: s.Path, ReadOnly: s.ReadOnly},
		})
	}
	return out
}

// sockets are those of the host that containers may reach.
func (d *Daemon) sockets() *relay.Sockets {
	s := &relay.Sockets{Named: d.settings.Sockets, Own: string(d.o.Home), Agents: relay.AgentsOf(d.o.Home.MachineAgent())}
	for _, share := range d.settings.Shares {
		s.Shares = append(s.Shares, share.Path)
	}
	return s
}

const (
	// manyFiles is a limit of open files that no walk through a share reaches soon.
	manyFiles = 200_000
	// shareCheck is how often a lower one is looked at: a guest can look up some ten thousand files in it.
	shareCheck = 250 * time.Millisecond
)

// keepShares has the guest forget files of the shares before their server runs out of descriptors, which a container
// would see as "Too many open files". That matters only where the limit could not be raised (see cmd/naru-machine).
func (d *Daemon) keepShares(ctx context.Context) {
	vm := d.machine()
	u, err := vm.Usage()
	if err != nil || u.ShareFilesMax == 0 || u.ShareFilesMax >= manyFiles {
		return
	}
	tick := time.NewTicker(shareCheck)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if u, err := vm.Usage(); err == nil && u.ShareFiles > u.ShareFilesMax/2 {
			d.forgetFiles(ctx)
			d.log.Debug("the guest forgot files of shares", "had", u.ShareFiles, "limit", u.ShareFilesMax)
		}
	}
}

// forgetFiles empties the guest's caches of names and inodes that are not in use.
func (d *Daemon) forgetFiles(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := d.openStream(ctx, api.PortKeeper, api.Hello{Kind: api.KindShell, Command: "echo 2 >/proc/sys/vm/drop_caches"})
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_, _ = io.Copy(io.Discard, conn)
}
