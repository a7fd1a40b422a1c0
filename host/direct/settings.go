package direct

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"naru/guest/api"
	"naru/platform/paths"
)

// SaveSettings writes settings.json of the direct engine whole. It counts from the engine's next start on.
func SaveSettings(home paths.Home, s api.EngineSettings) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(home.Engine(), 0o711); err != nil {
		return fmt.Errorf("store the engine's settings: %w", err)
	}
	path := filepath.Join(home.Engine(), "settings.json")
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("store the engine's settings: %w", err)
	}
	return os.Rename(path+".new", path)
}
