package boot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"naru/guest/api"
)

// maxConfig bounds the config document, in bytes.
const maxConfig = 1 << 20

// readConfig reads the document on the config drive. The drive is unmounted again: it holds the boot token, which no
// container has business with.
func readConfig(s *System) (err error) {
	dev, err := findDisk(api.DiskConfig)
	if err != nil {
		return err
	}
	const dir = "/run/config"
	if err := (mount{dev, dir, "iso9660", strict | unix.MS_RDONLY, nil}).mount(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Unmount(dir, 0), os.Remove(dir)) }()
	f, err := os.Open(filepath.Join(dir, api.ConfigFile))
	if err != nil {
		return err
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil {
		return fmt.Errorf("read %s: %w", api.ConfigFile, err)
	}
	s.Config, err = parseConfig(doc)
	return err
}

// parseConfig reads the version first: a document of another version may differ in everything else.
func parseConfig(doc []byte) (*api.Config, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(doc, &head); err != nil {
		return nil, fmt.Errorf("parse %s: %w", api.ConfigFile, err)
	}
	if head.Version != api.Version {
		return nil, fmt.Errorf("the host speaks version %d and this image version %d: they must come from one release", head.Version, api.Version)
	}
	c := new(api.Config)
	if err := json.Unmarshal(doc, c); err != nil {
		return nil, fmt.Errorf("parse %s: %w", api.ConfigFile, err)
	}
	if c.Token == "" {
		return nil, fmt.Errorf("%s has no boot token", api.ConfigFile)
	}
	return c, nil
}
