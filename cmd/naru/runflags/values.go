package runflags

import (
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
)

// list is a flag that can be given many times. check may change each value.
type list struct {
	values []string
	check  func(string) (string, error)
}

func (l *list) Set(s string) error {
	if l.check != nil {
		var err error
		if s, err = l.check(s); err != nil {
			return err
		}
	}
	l.values = append(l.values, s)
	return nil
}

func (l *list) String() string {
	if len(l.values) == 0 {
		return ""
	}
	return fmt.Sprint(l.values)
}

func (l *list) Type() string { return "list" }

// keyed is a list of key=value; a later value of a key wins.
func (l *list) keyed() map[string]string {
	if len(l.values) == 0 {
		return nil
	}
	return keyValues(l.values)
}

func keyValues(list []string) map[string]string {
	m := make(map[string]string, len(list))
	for _, kv := range list {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = v
	}
	return m
}

// bytesValue is a size like 64m, in bytes. With unlimited -1 is allowed.
type bytesValue struct {
	n         int64
	unlimited bool
}

func (b *bytesValue) Set(s string) (err error) {
	if b.unlimited && s == "-1" {
		b.n = -1
		return nil
	}
	b.n, err = units.RAMInBytes(s)
	return err
}

func (b *bytesValue) String() string {
	if b.n == 0 {
		return "0"
	}
	return units.BytesSize(float64(b.n))
}

func (b *bytesValue) Type() string { return "bytes" }

// cpus is a number of processors, kept in billionths.
type cpus int64

func (c *cpus) Set(s string) error {
	n, err := parseCPUs(s)
	*c = cpus(n)
	return err
}

func parseCPUs(s string) (int64, error) {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0, fmt.Errorf("failed to parse %v as a rational number", s)
	}
	nano := r.Mul(r, big.NewRat(1e9, 1))
	if !nano.IsInt() || !nano.Num().IsInt64() {
		return 0, fmt.Errorf("value is too precise")
	}
	return nano.Num().Int64(), nil
}

func (c *cpus) String() string {
	if *c == 0 {
		return ""
	}
	return big.NewRat(int64(*c), 1e9).FloatString(3)
}

func (c *cpus) Type() string { return "decimal" }

// ulimits are limits by name; a later one of a name wins.
type ulimits map[string]*container.Ulimit

func (u ulimits) Set(s string) error {
	limit, err := units.ParseUlimit(s)
	if err != nil {
		return err
	}
	u[limit.Name] = limit
	return nil
}

func (u ulimits) String() string { return "" }
func (u ulimits) Type() string   { return "ulimit" }

func (u ulimits) list() []*container.Ulimit {
	var all []*container.Ulimit
	for _, name := range sortedKeys(u) {
		all = append(all, u[name])
	}
	return all
}

// checkEnv takes the value from our own environment when there is only a name. A name that is not set there stays
// alone: it tells the engine to remove the image's variable.
func checkEnv(s string) (string, error) {
	name, _, has := strings.Cut(s, "=")
	if name == "" {
		return "", fmt.Errorf("invalid environment variable: %s", s)
	}
	if has {
		return s, nil
	}
	if v, ok := os.LookupEnv(s); ok {
		return s + "=" + v, nil
	}
	return s, nil
}

func checkLabel(s string) (string, error) {
	name, _, _ := strings.Cut(s, "=")
	name = strings.TrimLeft(name, whitespace)
	if name == "" {
		return "", fmt.Errorf("invalid label '%s': empty name", s)
	}
	if strings.ContainsAny(name, whitespace) {
		return "", fmt.Errorf("label '%s' contains whitespaces", name)
	}
	return s, nil
}

const whitespace = " \t\n\r\v\f"

func checkAttach(s string) (string, error) {
	switch lower := strings.ToLower(s); lower {
	case "stdin", "stdout", "stderr":
		return lower, nil
	}
	return "", fmt.Errorf("valid streams are STDIN, STDOUT and STDERR")
}

// sysctls that a container has for its own, beside all below net. and fs.mqueue.
var sysctls = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
	"kernel.shm_rmid_forced",
}

func checkSysctl(s string) (string, error) {
	k, _, ok := strings.Cut(s, "=")
	if ok && k != "" && (slices.Contains(sysctls, k) || strings.HasPrefix(k, "net.") || strings.HasPrefix(k, "fs.mqueue.")) {
		return s, nil
	}
	return "", fmt.Errorf("sysctl '%s' is not allowed", s)
}

func checkStorage(s string) (string, error) {
	if !strings.Contains(s, "=") {
		return "", errors.New("invalid storage option")
	}
	return s, nil
}
