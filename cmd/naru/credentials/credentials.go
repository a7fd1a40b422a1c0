// Package credentials finds what Docker's tools stored about a registry, and stores more: in ~/.docker/config.json, or
// with the docker-credential-* program that it names.
package credentials

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// hubServer is the key of Docker Hub in the file, for historical reasons a URL.
const hubServer = "https://index.docker.io/v1/"

// auth is the document of the X-Registry-Auth header.
type auth struct {
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
	RegistryToken string `json:"registrytoken,omitempty"`
	ServerAddress string `json:"serveraddress,omitempty"`
}

// entry is one of the file's auths.
type entry struct {
	Auth          string `json:"auth,omitempty"` // base64 of user:password
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
	RegistryToken string `json:"registrytoken,omitempty"`
}

type configFile struct {
	Auths       map[string]entry  `json:"auths"`
	CredsStore  string            `json:"credsStore"`
	CredHelpers map[string]string `json:"credHelpers"`
	Proxies     json.RawMessage   `json:"proxies"` // read by those who need it: others must not fail for it
}

// Header is the value of X-Registry-Auth for a registry's domain ("docker.io", "ghcr.io"), empty when nothing is
// stored for it.
func Header(ctx context.Context, domain string) (string, error) {
	config, err := load()
	if err != nil {
		return "", err
	}
	server := domain
	if domain == "docker.io" {
		server = hubServer
	}
	a, err := config.find(ctx, server)
	if err != nil || a == nil {
		return "", err
	}
	a.ServerAddress = server
	data, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	return base64.URLEncoding.EncodeToString(data), nil
}

// file is where Docker's tools keep their configuration, "" for a user without a home.
func file() string {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".docker")
	}
	return filepath.Join(dir, "config.json")
}

func load() (*configFile, error) {
	data, err := os.ReadFile(file())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return &configFile{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the credentials: %w", err)
	}
	var c configFile
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("read the credentials: %s: %w", file(), err)
	}
	return &c, nil
}

// helper is the program that keeps the credentials of a server, "" for the file itself.
func (c *configFile) helper(server string) string {
	for _, name := range []string{c.CredHelpers[host(server)], c.CredHelpers[server], c.CredsStore} {
		if name != "" {
			return name
		}
	}
	return ""
}

func (c *configFile) find(ctx context.Context, server string) (*auth, error) {
	if helper := c.helper(server); helper != "" {
		a, err := ask(ctx, helper, server)
		if err != nil || a != nil {
			return a, err
		}
	}
	for key, e := range c.Auths {
		if key == server || host(key) == host(server) {
			return e.auth()
		}
	}
	return nil, nil
}

// host is the host of a key, which older tools wrote as a URL.
func host(key string) string {
	if _, rest, ok := strings.Cut(key, "://"); ok {
		key = rest
	}
	key, _, _ = strings.Cut(key, "/")
	return key
}

func (e entry) auth() (*auth, error) {
	a := &auth{Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken}
	if e.Auth != "" {
		data, err := base64.StdEncoding.DecodeString(e.Auth)
		user, password, ok := strings.Cut(string(data), ":")
		if err != nil || !ok {
			return nil, errors.New("read the credentials: an entry of auths is no base64 of user:password")
		}
		a.Username, a.Password = user, strings.TrimRight(password, "\x00")
	}
	if *a == (auth{}) {
		return nil, nil
	}
	return a, nil
}

// tokenUser is what a helper gives as the user of an identity token.
const tokenUser = "<token>"

// ask runs a credential helper: the server goes to its stdin, JSON comes out.
// https://github.com/docker/docker-credential-helpers#development
func ask(ctx context.Context, helper, server string) (*auth, error) {
	out, err := runHelper(ctx, helper, "get", server)
	if errors.Is(err, errNotStored) || errors.Is(err, exec.ErrNotFound) {
		return nil, nil // as Docker: a missing helper means no credentials
	}
	if err != nil {
		return nil, err
	}
	var got struct{ Username, Secret string }
	if err := json.Unmarshal(out, &got); err != nil {
		return nil, fmt.Errorf("docker-credential-%s: %w", helper, err)
	}
	if got.Username == tokenUser {
		return &auth{IdentityToken: got.Secret}, nil
	}
	return &auth{Username: got.Username, Password: got.Secret}, nil
}

var errNotStored = errors.New("nothing is stored")

// runHelper gives a helper its input and returns what it says.
func runHelper(ctx context.Context, helper, verb, input string) ([]byte, error) {
	program := "docker-credential-" + helper
	cmd := exec.CommandContext(ctx, program, verb)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	said := bytes.TrimSpace(append(out, stderr.Bytes()...))
	if bytes.Contains(said, []byte("credentials not found")) {
		err = errNotStored
	}
	return nil, fmt.Errorf("%s: %w: %s", program, err, said)
}
