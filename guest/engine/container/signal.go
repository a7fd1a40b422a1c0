package container

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// The real-time signals as glibc and musl number them.
const (
	sigRTMin = 34
	sigRTMax = 64
)

// parseSignal reads "9", "KILL", "SIGKILL", "RTMIN+3"; case does not matter.
func parseSignal(s string) (int, error) {
	invalid := errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid signal: %s", s))
	if n, err := strconv.Atoi(s); err == nil {
		switch {
		case n == 0:
			return 0, invalid
		case n < 0 || n > sigRTMax:
			return 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the linux daemon does not support signal %d", n))
		}
		return n, nil
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n := unix.SignalNum(name); n != 0 {
		return int(n), nil
	}
	for base, number := range map[string]int{"SIGRTMIN": sigRTMin, "SIGRTMAX": sigRTMax} {
		offset, ok := strings.CutPrefix(name, base)
		if !ok {
			continue
		}
		if offset == "" {
			return number, nil
		}
		n, err := strconv.Atoi(offset)
		if n += number; err != nil || n < sigRTMin || n > sigRTMax {
			return 0, invalid
		}
		return n, nil
	}
	return 0, invalid
}
