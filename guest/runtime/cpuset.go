package runtime

import (
	"fmt"
	"strconv"
	"strings"
)

// maxCPU bounds a list of CPUs or memory nodes: one like "0-9223372036854775807" would fill the memory.
const maxCPU = 8192

// parseList reads the kernel's list format, "0-2,4". Repeated numbers are allowed.
func parseList(s string) (map[int]bool, error) {
	set := map[int]bool{}
	if s == "" {
		return set, nil
	}
	for _, part := range strings.Split(s, ",") {
		from, to, ranged := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && ranged {
			last, err = strconv.Atoi(to)
		}
		if err != nil || first < 0 || last < first {
			return nil, fmt.Errorf("invalid format: %s", s)
		}
		if last > maxCPU {
			return nil, fmt.Errorf("value of out range, maximum is %d", maxCPU)
		}
		for i := first; i <= last; i++ {
			set[i] = true
		}
	}
	return set, nil
}

// within tells whether every number of the list wish is in the list available.
func within(wish, available string) (bool, error) {
	want, err := parseList(wish)
	if err != nil {
		return false, err
	}
	have, err := parseList(available)
	if err != nil {
		return false, err
	}
	for n := range want {
		if !have[n] {
			return false, nil
		}
	}
	return true, nil
}
