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
	"path/filepath"

	"github.com/moby/moby/api/types/registry"
)

// Server is the key by which a registry's credentials are kept: its host, or what Docker Hub has always had.
func Server(address string) string {
	if address == "" || address == "docker.io" || address == hubServer {
		return hubServer
	}
	return host(address)
}

// Stored are the credentials of a server as Server names it; those of an unknown one have no user.
func Stored(ctx context.Context, server string) (registry.AuthConfig, error) {
	out := registry.AuthConfig{ServerAddress: server}
	config, err := load()
	if err != nil {
		return out, err
	}
	a, err := config.find(ctx, server)
	if err != nil || a == nil {
		return out, err
	}
	out.Username, out.Password, out.IdentityToken, out.RegistryToken = a.Username, a.Password, a.IdentityToken, a.RegistryToken
	return out, nil
}

// Save keeps credentials where Docker's tools find them: with the helper that the configuration names, else in the file
// itself, whose name is returned then, as everybody who reads it can use them.
func Save(ctx context.Context, c registry.AuthConfig) (plain string, err error) {
	config, err := load()
	if err != nil {
		return "", err
	}
	if helper := config.helper(c.ServerAddress); helper != "" {
		user, secret := c.Username, c.Password
		if c.IdentityToken != "" {
			user, secret = tokenUser, c.IdentityToken
		}
		doc, err := json.Marshal(struct{ ServerURL, Username, Secret string }{c.ServerAddress, user, secret})
		if err != nil {
			return "", err
		}
		if _, err := runHelper(ctx, helper, "store", string(doc)); err != nil {
			return "", err
		}
		return "", edit(func(auths map[string]json.RawMessage) { auths[c.ServerAddress] = json.RawMessage("{}") })
	}
	e := entry{IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken}
	if c.Username != "" || c.Password != "" {
		e.Auth = base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))
	}
	doc, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	return file(), edit(func(auths map[string]json.RawMessage) { auths[c.ServerAddress] = doc })
}

// Erase forgets the credentials of a server, by whatever key older tools kept them. It is no error that there are none.
func Erase(ctx context.Context, server string) error {
	config, err := load()
	if err != nil {
		return err
	}
	if helper := config.helper(server); helper != "" {
		if _, err := runHelper(ctx, helper, "erase", server); err != nil && !errors.Is(err, errNotStored) {
			return err
		}
	}
	return edit(func(auths map[string]json.RawMessage) {
		for key := range auths {
			if key == server || host(key) == host(server) {
				delete(auths, key)
			}
		}
	})
}

// edit changes the file's auths and leaves all else in it as it is. A file that does not change is not written.
func edit(change func(auths map[string]json.RawMessage)) error {
	path := file()
	if path == "" {
		return errors.New("keep the credentials: this user has no home folder")
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the credentials: %w", err)
	}
	doc, auths := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if len(bytes.TrimSpace(before)) > 0 {
		if err := json.Unmarshal(before, &doc); err != nil {
			return fmt.Errorf("read the credentials: %s: %w", path, err)
		}
	}
	if raw, ok := doc["auths"]; ok {
		if err := json.Unmarshal(raw, &auths); err != nil {
			return fmt.Errorf("read the credentials: %s: %w", path, err)
		}
	}
	if auths == nil { // null
		auths = map[string]json.RawMessage{}
	}
	change(auths)
	if len(auths) == 0 && doc["auths"] == nil {
		return nil
	}
	if doc["auths"], err = json.Marshal(auths); err != nil {
		return err
	}
	after, err := json.MarshalIndent(doc, "", "\t")
	if err != nil || bytes.Equal(before, after) {
		return err
	}
	return replace(path, after)
}

// replace writes a file whole, that only its owner can read.
func replace(path string, data []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep the credentials: %w", err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".config.json-") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
