package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
)

// Capabilities is what `naru-machine check --json` tells of this host.
type Capabilities struct {
	Arch       string          `json:"arch"` // of the image, or of the host without one
	ImageDir   string          `json:"imageDir,omitempty"`
	ImageError string          `json:"imageError,omitempty"`
	Backends   []BackendReport `json:"backends"` // the best first
}

// BackendReport is what one hypervisor can do; its words are those of platform.Report.
type BackendReport struct {
	Name      string `json:"name"`
	Usable    bool   `json:"usable"`
	Reason    string `json:"reason,omitempty"`
	Accel     string `json:"accel,omitempty"`
	Note      string `json:"note,omitempty"`
	ShareType string `json:"shareType,omitempty"`
	ShareNote string `json:"shareNote,omitempty"`
}

// Check asks naru-machine what the hypervisors of this host can do. It starts nothing that stays.
func Check(ctx context.Context) (*Capabilities, error) {
	exe, err := DaemonPath()
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, exe, "check", "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("naru-machine check: %w", err)
	}
	c := &Capabilities{}
	if err := json.Unmarshal(out, c); err != nil {
		return nil, fmt.Errorf("naru-machine check: %w", err)
	}
	return c, nil
}
