package direct

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"naru/guest/api"
	"naru/platform/paths"
)

// LoadSettings reads settings.json of the direct engine. Without one all are zero.
func LoadSettings(home paths.Home) (s api.EngineSettings, err error) {
	data, err := os.ReadFile(settingsPath(home))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return s, fmt.Errorf("read the engine's settings: %w", err)
	}
	return s, nil
}

func settingsPath(home paths.Home) string { return filepath.Join(home.Engine(), "settings.json") }

// SaveSettings writes settings.json of the direct engine whole. It counts from the engine's next start on.
func SaveSettings(home paths.Home, s api.EngineSettings) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(home.Engine(), 0o711); err != nil {
		return fmt.Errorf("store the engine's settings: %w", err)
	}
	path := settingsPath(home)
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("store the engine's settings: %w", err)
	}
	return os.Rename(path+".new", path)
}
