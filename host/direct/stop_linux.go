package direct

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"naru/platform/ipc"
	"naru/platform/paths"
)

func status(ctx context.Context, home paths.Home) (Status, error) {
	s := emptyStatus(home)
	pid, err := keeperPid(ctx, home)
	if err != nil {
		return s, err
	}
	s.Pid, s.Running = pid, pid != 0
	return s, nil
}

func stop(ctx context.Context, home paths.Home) (bool, error) {
	pid, err := keeperPid(ctx, home)
	if err != nil {
		return false, fmt.Errorf("stop the engine: %w", err)
	}
	if pid == 0 {
		return false, nil
	}
	if err := terminate(ctx, pid); err != nil {
		return false, fmt.Errorf("stop the engine: %w", err)
	}
	return true, nil
}

// keeperPid finds the keeper: the process that listens on the socket, or the holder of the lock while nobody does.
// 0 when there is none.
func keeperPid(ctx context.Context, home paths.Home) (int, error) {
	c, err := ipc.Dial(ctx, home.DirectSocket())
	if err == nil {
		defer c.Close()
		return listenerPid(c)
	}
	if errors.Is(err, os.ErrPermission) {
		return 0, err
	}
	if !ipc.IsAbsent(err) {
		return 0, err
	}
	return lockHolder(home.KeeperLock())
}

// listenerPid is the process that called listen on the other end's socket: that is the keeper, although the engine
// accepts (unix(7), SO_PEERCRED).
func listenerPid(c net.Conn) (int, error) {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var optErr error
	if err := raw.Control(func(fd uintptr) {
		cred, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if optErr != nil {
		return 0, fmt.Errorf("ask who listens: %w", optErr)
	}
	return int(cred.Pid), nil
}

// lockHolder reads who holds the flock on path from /proc/locks (proc_locks(5)): "1: FLOCK ADVISORY WRITE 123
// fe:01:4711 0 EOF". 0 when nobody does.
func lockHolder(path string) (int, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); errors.Is(err, unix.ENOENT) {
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("stat %s: %w", path, err)
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(locks)) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || f[5] != file {
			continue
		}
		var pid int
		if _, err := fmt.Sscan(f[4], &pid); err == nil && pid > 0 {
			return pid, nil
		}
	}
	return 0, nil
}

// terminate sends SIGTERM and waits for the end. The pidfd makes sure that it is one and the same process.
func terminate(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find naru-keeper %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal naru-keeper %d: %w", pid, err)
	}
	for ctx.Err() == nil {
		// Poll returns at the end of the process; the bound lets a cancelled context through.
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int((200 * time.Millisecond).Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if n > 0 {
			return nil
		}
	}
	return fmt.Errorf("naru-keeper %d has not ended yet: %w", pid, context.Cause(ctx))
}
