package target

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"naru/platform/paths"
)

// settings is cli.json, what the CLI keeps in the installation folder.
type settings struct {
	Context string `json:"context,omitempty"`
}

func settingsFile(home paths.Home) string { return filepath.Join(string(home), "cli.json") }

// load reads cli.json; without one everything is empty.
func load(home paths.Home) (s settings, err error) {
	data, err := os.ReadFile(settingsFile(home))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read the context: %w", err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("read the context: %s: %w", settingsFile(home), err)
	}
	return s, nil
}

// Use stores the context of later commands. Name must be one that Named knows.
func Use(home paths.Home, name string) error {
	if _, err := Named(name, home); err != nil {
		return err
	}
	data, err := json.Marshal(settings{Context: name})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(home), 0o711); err != nil {
		return fmt.Errorf("store the context: %w", err)
	}
	file := settingsFile(home)
	tmp := file + ".new"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("store the context: %w", err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("store the context: %w", err)
	}
	return nil
}
