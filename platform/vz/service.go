package vz

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"
)

// serviceName is the program of the system in which a machine runs.
const serviceName = "com.apple.Virtualization.VirtualMachine"

// services reads `ps -axo pid=,rss=,comm=`: the resident bytes of each service process, by its process ID.
func services(ps []byte) map[int]uint64 {
	found := map[int]uint64{}
	lines := bufio.NewScanner(bytes.NewReader(ps))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || !strings.HasSuffix(strings.Join(fields[2:], " "), serviceName) {
			continue
		}
		pid, err1 := strconv.Atoi(fields[0])
		kib, err2 := strconv.ParseUint(fields[1], 10, 64)
		if err1 == nil && err2 == nil {
			found[pid] = kib << 10
		}
	}
	return found
}

// newest is the one of now that is not among before, 0 when there is none or more than one.
func newest(before, now map[int]uint64) (pid int) {
	for p := range now {
		if _, old := before[p]; old {
			continue
		}
		if pid != 0 {
			return 0
		}
		pid = p
	}
	return pid
}
