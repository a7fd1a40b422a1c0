package network

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// tcpListen is TCP_LISTEN as /proc/net/tcp shows it.
const tcpListen = "0A"

// holderOf names the program that has a port of the host open in the way of one who wants it at ip: "nginx, process 812". It is "" where
// that cannot be known. Only for who was refused: it looks at the descriptors of every process.
func holderOf(proto string, ip netip.Addr, port uint16) string {
	var links []string
	for _, family := range []string{"", "6"} {
		data, err := os.ReadFile("/proc/thread-self/net/" + proto + family)
		if err != nil {
			continue // no IPv6 here
		}
		for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
			if inode, ok := inTheWay(lines.Text(), proto, ip, port); ok {
				links = append(links, "socket:["+inode+"]")
			}
		}
	}
	if len(links) == 0 {
		return ""
	}
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is right
	for _, file := range files {
		if link, err := os.Readlink(file); err != nil || !slices.Contains(links, link) {
			continue
		}
		pid := strings.Split(file, "/")[2]
		comm, err := os.ReadFile("/proc/" + pid + "/comm")
		if err == nil {
			return fmt.Sprintf("%s, process %s", strings.TrimSpace(string(comm)), pid)
		}
	}
	return ""
}

// inTheWay reads a line of /proc/net/{tcp,udp}{,6} (see proc(5)) and returns the socket's inode if the port at ip cannot be had for it.
func inTheWay(line, proto string, ip netip.Addr, port uint16) (inode string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 || proto == "tcp" && f[3] != tcpListen {
		return "", false
	}
	addrHex, portHex, _ := strings.Cut(f[1], ":")
	if n, err := strconv.ParseUint(portHex, 16, 16); err != nil || uint16(n) != port {
		return "", false
	}
	words, err := hex.DecodeString(addrHex)
	if err != nil {
		return "", false
	}
	for i := 0; i+4 <= len(words); i += 4 { // each is in the host's byte order
		binary.NativeEndian.PutUint32(words[i:], binary.BigEndian.Uint32(words[i:]))
	}
	at, _ := netip.AddrFromSlice(words)
	return f[9], at.IsUnspecified() || ip.IsUnspecified() || at.Unmap() == ip
}
