package runflags

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// securityOpts prepares the values of --security-opt: a seccomp profile's file is read here, where the user is.
// unconfined tells that systempaths=unconfined was among them; that one is no option of the engine.
func securityOpts(values []string) (opts []string, unconfined bool, err error) {
	for _, opt := range values {
		key, value, ok := strings.Cut(opt, "=")
		if !ok && key != "no-new-privileges" {
			key, value, ok = strings.Cut(opt, ":")
		}
		if (!ok || value == "") && key != "no-new-privileges" {
			return nil, false, fmt.Errorf("invalid --security-opt: %q", opt)
		}
		switch {
		case opt == "systempaths=unconfined":
			unconfined = true
			continue
		case key == "seccomp" && value != "unconfined" && value != "builtin":
			profile, err := readProfile(value)
			if err != nil {
				return nil, false, err
			}
			opt = "seccomp=" + profile
		}
		opts = append(opts, opt)
	}
	return opts, unconfined, nil
}

func readProfile(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("opening seccomp profile (%s) failed: %w", file, err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return "", fmt.Errorf("compacting json for seccomp profile (%s) failed: %w", file, err)
	}
	return b.String(), nil
}
