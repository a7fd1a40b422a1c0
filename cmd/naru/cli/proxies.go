package cli

import (
	"slices"
	"strings"

	"naru/cmd/naru/credentials"
)

// withProxies adds the proxies of Docker's config.json to a container's variables; what the user said comes first.
func withProxies(env []string, endpoint string) ([]string, error) {
	proxies, err := credentials.Proxies(endpoint)
	if err != nil {
		return nil, err
	}
	for _, p := range proxies {
		name, _, _ := strings.Cut(p, "=")
		if !slices.ContainsFunc(env, func(e string) bool { return e == name || strings.HasPrefix(e, name+"=") }) {
			env = append(env, p)
		}
	}
	return env, nil
}
