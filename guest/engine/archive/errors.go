package archive

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// A breakout is a name in an archive that would lead out of the folder that it is unpacked in.
func breakout(what, name string) error { return fmt.Errorf("invalid %s %q", what, name) }

func errOwner(uid, gid int) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("owner %d:%d is out of range: 0 to 4294967294 is expected", uid, gid))
}

// badArchive is an archive that a client sent and that is none.
func badArchive(err error) error {
	return errdefs.ErrInvalidArgument.WithMessage("invalid archive: " + err.Error())
}
