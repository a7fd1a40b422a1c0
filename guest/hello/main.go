// Command hello is the program of the image `hello`, the first thing run with naru: it tells where it runs and what
// to try next. It is small because it ships beside the engine: no fmt, no flags.
package main

import (
	"bytes"
	"os"
	"runtime"
	"strings"
	"syscall"
)

func main() {
	os.Stdout.WriteString(text(release(), runtime.GOARCH, hostname(), inVM()))
}

func text(kernel, arch, host string, vm bool) string {
	where := "directly on this Linux"
	if vm {
		where = "in naru's VM"
	}
	return strings.Join([]string{
		"",
		"Hello from naru!",
		"",
		"This container runs " + where + ".",
		"  kernel    " + kernel,
		"  machine   " + arch,
		"  hostname  " + host,
		"",
		"Next, try:",
		"  naru run -it debian bash      a shell in Debian",
		"  naru run -d -p 8080:80 nginx  a web server at http://localhost:8080",
		"  naru ps -a                    what runs, and what ran",
		"  naru help                     everything else",
		"", "",
	}, "\n")
}

// inVM reads what the machine put on the kernel's command line.
func inVM() bool {
	line, err := os.ReadFile("/proc/cmdline")
	return err == nil && bytes.Contains(append(append([]byte(" "), line...), ' '), []byte(" naru.vm=1"))
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

func release() string {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return "unknown"
	}
	var b strings.Builder
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}
