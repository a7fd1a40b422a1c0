package daemon

import (
	"os"
	"strconv"

	"naru/guest/api"
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
