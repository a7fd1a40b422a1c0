package credentials

import (
	"encoding/json"
	"fmt"
	"sort"
)

// proxy is one entry of "proxies" in Docker's config.json: what containers should use to reach other networks.
type proxy struct {
	HTTP  string `json:"httpProxy"`
	HTTPS string `json:"httpsProxy"`
	No    string `json:"noProxy"`
	FTP   string `json:"ftpProxy"`
	All   string `json:"allProxy"`
}

// Proxies are the variables for containers of the engine at endpoint ("unix:///var/run/docker.sock"), as Docker's CLI sets
// them: each name in capitals and in small letters, those of "default" when the endpoint has no entry of its own.
func Proxies(endpoint string) ([]string, error) {
	config, err := load()
	if err != nil {
		return nil, err
	}
	entries := map[string]proxy{}
	if len(config.Proxies) > 0 {
		if err := json.Unmarshal(config.Proxies, &entries); err != nil {
			return nil, fmt.Errorf("read the proxies of config.json: %w", err)
		}
	}
	p, ok := entries[endpoint]
	if !ok {
		p = entries["default"]
	}
	var env []string
	for names, value := range map[[2]string]string{
		{"HTTP_PROXY", "http_proxy"}: p.HTTP, {"HTTPS_PROXY", "https_proxy"}: p.HTTPS, {"NO_PROXY", "no_proxy"}: p.No,
		{"FTP_PROXY", "ftp_proxy"}: p.FTP, {"ALL_PROXY", "all_proxy"}: p.All,
	} {
		if value != "" {
			env = append(env, names[0]+"="+value, names[1]+"="+value)
		}
	}
	sort.Strings(env)
	return env, nil
}
