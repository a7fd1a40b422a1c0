package runflags

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/blkiodev"
)

// weights is the flag --blkio-weight-device: device:weight.
type weights []*blkiodev.WeightDevice

func (w *weights) String() string { return "" }
func (w *weights) Type() string   { return "list" }

func (w *weights) Set(s string) error {
	device, value, err := splitDevice(s)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n > 0 && (n < 10 || n > 1000) {
		return fmt.Errorf("invalid weight for device: %s", s)
	}
	*w = append(*w, &blkiodev.WeightDevice{Path: device, Weight: uint16(n)})
	return nil
}

// rates is one of the flags --device-{read,write}-{bps,iops}: device:rate.
type rates struct {
	list  []*blkiodev.ThrottleDevice
	bytes bool // the rate may have a unit
}

func (r *rates) String() string { return "" }
func (r *rates) Type() string   { return "list" }

func (r *rates) Set(s string) error {
	device, value, err := splitDevice(s)
	if err != nil {
		return err
	}
	var n uint64
	if r.bytes {
		signed, err := units.RAMInBytes(value)
		if err != nil || signed < 0 {
			return fmt.Errorf("invalid rate for device: %s. The correct format is <device-path>:<number>[<unit>]. "+
				"Number must be a positive integer. Unit is optional and can be kb, mb, or gb", s)
		}
		n = uint64(signed)
	} else if n, err = strconv.ParseUint(value, 10, 64); err != nil {
		return fmt.Errorf("invalid rate for device: %s. The correct format is <device-path>:<number>. Number must be a positive integer", s)
	}
	r.list = append(r.list, &blkiodev.ThrottleDevice{Path: device, Rate: n})
	return nil
}

func splitDevice(s string) (device, value string, err error) {
	device, value, ok := strings.Cut(s, ":")
	if !ok || device == "" {
		return "", "", fmt.Errorf("bad format: %s", s)
	}
	if !strings.HasPrefix(device, "/dev/") {
		return "", "", fmt.Errorf("bad format for device path: %s", s)
	}
	return device, value, nil
}
