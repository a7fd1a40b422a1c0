package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"naru/guest/api"
	"naru/platform/paths"
)

// SettingsVersion is the version of machine.json that this program writes and the newest it reads.
const SettingsVersion = 1

// Settings is machine.json: what the user wants of the VM. A zero field means the default, so that a better default
// of a later release reaches everybody who did not choose. Changes count from the next start on.
type Settings struct {
	Version int     `json:"version"`
	CPUs    int     `json:"cpus,omitempty"`
	Memory  uint64  `json:"memory,omitempty"` // bytes
	Disk    uint64  `json:"disk,omitempty"`   // bytes; the data disk can grow, never shrink
	Shares  []Share `json:"shares"`
	Backend string  `json:"backend,omitempty"` // "qemu"; empty for the best one here
	Idle    int     `json:"idle,omitempty"`    // seconds with nothing running until the VM is put to rest; negative for never
	// Sockets are unix sockets of the host that containers may bind although they are in no share.
	Sockets []string `json:"sockets,omitempty"`

	Engine api.EngineSettings `json:"engine,omitzero"`
}

// Share is a folder of the host that is seen in the VM at the same path.
type Share struct {
	Path     string `json:"path"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

const (
	mib = 1 << 20
	gib = 1 << 30

	minMemory = 512 * mib
	minDisk   = 1 * gib

	defaultDisk = 100 * gib // sparse: it takes what is in it

	defaultIdle = 30 * time.Minute
)

// LoadSettings reads machine.json. Without one it returns the settings of a first start, os.ErrNotExist never.
func LoadSettings(home paths.Home) (*Settings, error) {
	data, err := os.ReadFile(home.MachineSettings())
	if errors.Is(err, fs.ErrNotExist) {
		return &Settings{Version: SettingsVersion, Shares: defaultShares()}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the machine's settings: %w", err)
	}
	var s Settings
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("read the machine's settings: %s is damaged (%w); mend it, or remove it for the defaults: "+
			"the machine's data is elsewhere", home.MachineSettings(), err)
	}
	if s.Version > SettingsVersion {
		return nil, fmt.Errorf("%s is of a newer naru (version %d, this one knows %d)", home.MachineSettings(), s.Version, SettingsVersion)
	}
	return &s, s.Validate()
}

// SaveSettings writes machine.json whole.
func SaveSettings(home paths.Home, s *Settings) error {
	if err := s.Validate(); err != nil {
		return err
	}
	s.Version = SettingsVersion
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(home.Machine(), 0o700); err != nil {
		return err
	}
	if err := writeWhole(home.MachineSettings(), append(data, '\n')); err != nil {
		return fmt.Errorf("write the machine's settings: %w", err)
	}
	return nil
}

// firstSettings writes machine.json when there is none: the working folder of the first start is among the shares.
func firstSettings(home paths.Home) error {
	if _, err := os.Stat(home.MachineSettings()); err == nil {
		return nil
	}
	s, err := LoadSettings(home)
	if err != nil {
		return err
	}
	return SaveSettings(home, s)
}

// AddShare adds a folder, or changes whether it is read-only. It returns false when nothing changed: the folder is a
// share already, or lies in one.
func (s *Settings) AddShare(path string, readOnly bool) (changed bool, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return false, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("share %s: %w", path, errors.Unwrap(err))
	}
	if !info.IsDir() {
		return false, fmt.Errorf("share %s: not a folder", path)
	}
	if err := checkShare(path); err != nil {
		return false, err
	}
	for i, have := range s.Shares {
		if have.Path == path && have.ReadOnly != readOnly {
			s.Shares[i].ReadOnly = readOnly
			return true, nil
		}
		if within(have.Path, path) && have.ReadOnly == readOnly {
			return false, nil
		}
	}
	s.Shares = append(s.Shares, Share{Path: path, ReadOnly: readOnly})
	return true, nil
}

// RemoveShare takes a folder out of the shares.
func (s *Settings) RemoveShare(path string) error {
	i := slices.IndexFunc(s.Shares, func(sh Share) bool { return sh.Path == path })
	if i < 0 {
		return fmt.Errorf("share %s: there is no such share", path)
	}
	s.Shares = slices.Delete(s.Shares, i, i+1)
	return nil
}

// CheckDisk refuses a size in bytes that is smaller than the data disk is: to cut it would cut the file system in it.
func CheckDisk(home paths.Home, size uint64) error {
	info, err := os.Stat(home.MachineData())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the data disk: %w", err)
	}
	if size < uint64(info.Size()) {
		return fmt.Errorf("the data disk has %d bytes and cannot shrink to %d: its file takes of this host only what is in it; "+
			"`naru machine reset` begins with a new one", info.Size(), size)
	}
	return nil
}

// AddSocket adds a unix socket that containers may bind. It need not be there now. It returns false when it was added before.
func (s *Settings) AddSocket(path string) (changed bool, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return false, err
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return false, fmt.Errorf("socket %s: it is no unix socket", path)
	}
	if slices.Contains(s.Sockets, path) {
		return false, nil
	}
	s.Sockets = append(s.Sockets, path)
	return true, nil
}

// Validate tells what of the settings cannot be.
func (s *Settings) Validate() error {
	switch {
	case s.CPUs < 0 || s.CPUs > 256:
		return fmt.Errorf("machine settings: cpus is %d, possible are 1 to 256", s.CPUs)
	case s.Memory != 0 && s.Memory < minMemory:
		return fmt.Errorf("machine settings: memory is %d bytes, at least %d are needed", s.Memory, uint64(minMemory))
	case s.Disk != 0 && s.Disk < minDisk:
		return fmt.Errorf("machine settings: disk is %d bytes, at least %d are needed", s.Disk, uint64(minDisk))
	}
	for _, sh := range s.Shares {
		if err := checkShare(sh.Path); err != nil {
			return err
		}
	}
	for _, path := range s.Sockets {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path {
			return fmt.Errorf("machine settings: socket %q: not a clean absolute path", path)
		}
	}
	return nil
}

// EffectiveCPUs is the number of processors that the VM gets: the host's, at most 4, unless the user chose.
func (s *Settings) EffectiveCPUs() int {
	if s.CPUs > 0 {
		return s.CPUs
	}
	return min(runtime.NumCPU(), 4)
}

// EffectiveMemory is the most memory that the VM may use, in bytes: a quarter of the host's, between 2 and 8 GiB but
// not more than half of a small host, unless the user chose. What the guest frees goes back to the host, but each
// GiB costs the guest 16 MiB for its page table, so more is not better. An emulated machine fills that table slowly
// (0.2 s a GiB at each boot), so it gets 2 GiB.
func (s *Settings) EffectiveMemory(emulated bool) uint64 {
	if s.Memory > 0 {
		return s.Memory / blockSize * blockSize
	}
	memory := defaultMemory(hostMemory())
	if emulated {
		memory = min(memory, 2*gib)
	}
	return memory
}

// blockSize is what a machine's memory is a multiple of.
const blockSize = 2 * mib

func defaultMemory(host uint64) uint64 {
	if host == 0 {
		return 2 * gib
	}
	want := min(max(host/4, 2*gib), 8*gib)
	want = max(min(want, host/2), minMemory)
	return want / blockSize * blockSize
}

// EffectiveDisk is the size of the data disk in bytes.
func (s *Settings) EffectiveDisk() uint64 {
	if s.Disk > 0 {
		return s.Disk
	}
	return defaultDisk
}

// EffectiveIdle is for how long nothing may run until the VM is put to rest; 0 for ever.
func (s *Settings) EffectiveIdle() time.Duration {
	switch {
	case s.Idle < 0:
		return 0
	case s.Idle == 0:
		return defaultIdle
	}
	return time.Duration(s.Idle) * time.Second
}

// writeWhole replaces a file so that a power cut leaves the old or the new one.
func writeWhole(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
