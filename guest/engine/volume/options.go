package volume

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
)

// The options of the local driver, as in Docker: what to mount as the volume's data, like mount(8) would. One needs others.
var localOptions = map[string][]string{"type": {"device"}, "device": {"type"}, "o": {"device", "type"}, "size": nil}

// checkOptions refuses options with Docker's words.
func (m *Manager) checkOptions(options map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(options)) {
		needs, known := localOptions[name]
		if !known {
			return invalid("invalid option: %q", name)
		}
		for _, other := range needs {
			if _, ok := options[other]; !ok {
				return invalid("missing required option: %q", other)
			}
		}
	}
	if text, ok := options["size"]; ok {
		size, err := units.RAMInBytes(text)
		if err != nil {
			return invalid("invalid size: '%s'", text)
		}
		if size > 0 {
			return invalid("quota size requested but no quota support")
		}
	}
	if device, err := url.Parse(options["device"]); options["type"] == "cifs" && (err != nil || device.Port() != "") {
		return invalid("port not allowed in CIFS device URL, include 'port' in 'o='")
	}
	// A folder of the machine's owner is reached by a share or not at all, as with a bind mount.
	if words := strings.Split(options["o"], ","); slices.Contains(words, "bind") || slices.Contains(words, "rbind") {
		return m.checkShared(options["device"])
	}
	return nil
}

// needsMount tells a volume with a file system of its own from a plain folder.
func (r *record) needsMount() bool { return r.Options["device"] != "" }

// mountOf is what the options ask to mount. Names of servers are looked up here: the kernel takes addresses only.
func (r *record) mountOf() (mount.Mount, error) {
	out := mount.Mount{Type: r.Options["type"], Source: r.Options["device"]}
	for _, word := range strings.Split(r.Options["o"], ",") {
		if host, ok := strings.CutPrefix(word, "addr="); ok && isNetwork(out.Type) {
			addr, err := net.ResolveIPAddr("ip", host)
			if err != nil {
				return out, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("error resolving passed in network volume address: %s", err))
			}
			word = "addr=" + addr.String()
		}
		if word != "" {
			out.Options = append(out.Options, word)
		}
	}
	return out, nil
}

func isNetwork(fsType string) bool { return fsType == "nfs" || fsType == "nfs4" || fsType == "cifs" }

// withoutSecrets hides the password that a mount option may hold from an error text.
func (r *record) withoutSecrets(text string) string {
	for _, word := range strings.Split(r.Options["o"], ",") {
		if password, ok := strings.CutPrefix(word, "password="); ok && password != "" {
			text = strings.ReplaceAll(text, password, "********")
		}
	}
	return text
}
