package server

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// MaxAPIVersion and MinAPIVersion bound the version prefix that is accepted: the newest of moby/api, and what
// Docker 1.12's clients speak.
const (
	MaxAPIVersion = "1.56"
	MinAPIVersion = "1.24"
)

var versionPrefix = regexp.MustCompile(`^/v([0-9.]+)(/.*)$`)

// splitVersion takes the version off a path; the newest is meant where there is none.
func splitVersion(path string) (version, rest string) {
	if m := versionPrefix.FindStringSubmatch(path); m != nil {
		return m[1], m[2]
	}
	return MaxAPIVersion, path
}

// requestVersion is the API version the request named, the newest when it named none.
func requestVersion(r *http.Request) string {
	version, _ := splitVersion(r.URL.Path)
	return version
}

func checkVersion(v string) error {
	if lessVersion(MaxAPIVersion, v) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"client version %s is too new. Maximum supported API version is %s", v, MaxAPIVersion))
	}
	if lessVersion(v, MinAPIVersion) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version",
			v, MinAPIVersion))
	}
	return nil
}

// lessVersion compares versions number by number; what is missing counts as 0, as in Docker.
func lessVersion(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		if m, n := numberAt(x, i), numberAt(y, i); m != n {
			return m < n
		}
	}
	return false
}

func numberAt(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, _ := strconv.Atoi(parts[i]) // too large a number is the largest, and none is 0
	return n
}
