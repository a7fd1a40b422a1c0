package doctor

import (
	"context"
	"strings"

	"naru/host/machine"
)

// machine asks naru-machine what the hypervisors can do.
func (r *Report) machine(ctx context.Context, o Options) {
	can, err := machine.Check(ctx)
	if err != nil {
		return // that the program is missing was said already
	}
	if can.ImageError != "" {
		r.add("machine", "image", r.lacking("machine"), "make image, or install the whole package", "%s", can.ImageError)
	} else {
		r.add("machine", "image", OK, "", "the VM image for %s is in %s", can.Arch, can.ImageDir)
	}
	usable := false
	for _, b := range can.Backends {
		switch {
		case !b.Usable && usable:
			r.add("machine", "hypervisor", Note, "", "%s cannot be used: %s", b.Name, b.Reason)
		case !b.Usable:
			r.add("machine", "hypervisor", Note, "", "%s cannot be used: %s", b.Name, b.Reason)
		default:
			usable = true
			r.hypervisor(b)
		}
	}
	if !usable {
		r.add("machine", "hypervisor", r.lacking("machine"), "", "no hypervisor can be used, so there is no VM here")
	}
	if s, err := machine.GetStatus(ctx, o.Home); err == nil && s.State == machine.StateRunning {
		r.add("machine", "state", OK, "", "the machine runs")
	}
}

func (r *Report) hypervisor(b machine.BackendReport) {
	if b.Note == "" {
		r.add("machine", "hypervisor", OK, "", "%s works, with %s", b.Name, b.Accel)
	} else {
		r.add("machine", "hypervisor", Note, "", "%s works with %s only, which is slow: %s", b.Name, b.Accel, strings.TrimSuffix(b.Note, "."))
	}
	if b.ShareType == "" {
		r.add("machine", "shares", r.lacking("machine"), "", "folders cannot be shared with the VM: %s", b.ShareNote)
	}
}
