package container

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"

	"naru/guest/logfile"
)

// The log drivers. All others of Docker send the log away, to where nothing of ours could read it.
const (
	logJSONFile = "json-file"
	logLocal    = "local"
	logNone     = "none"
)

// logOptions are the options of both drivers; those with a mode are for each driver of Docker.
var (
	logOptions     = []string{"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"}
	logModeOptions = []string{"mode", "max-buffer-size"}
	// logCacheOptions are for drivers that cannot be read; Docker takes them with every driver.
	logCacheOptions = "cache-"
)

// The defaults of the driver `local`, and of a log's buffer, as in Docker.
const (
	localMaxSize  = 20 << 20
	localMaxFiles = 5
	logBuffer     = 1_000_000
)

// DefaultLog checks the engine's settings log-driver and log-opts. An empty driver is json-file.
func DefaultLog(driver string, options map[string]string) (container.LogConfig, error) {
	lc := container.LogConfig{Type: cmp.Or(driver, logJSONFile), Config: options}
	if err := checkLog(&lc); err != nil {
		return lc, fmt.Errorf("setting log-driver or log-opts: %w", err)
	}
	return lc, nil
}

// defaultLog fills in what a container leaves open: the engine's driver, and where it is that, its options.
func (m *Manager) defaultLog(lc *container.LogConfig) {
	byDefault := cmp.Or(m.LogConfig.Type, logJSONFile)
	lc.Type = cmp.Or(lc.Type, byDefault)
	options := map[string]string{}
	if lc.Type == byDefault {
		maps.Copy(options, m.LogConfig.Config)
	}
	maps.Copy(options, lc.Config)
	lc.Config = options
}

// checkLog refuses what the keeper could not write, in Docker's words. Docker looks at the values only when the
// container starts.
func checkLog(lc *container.LogConfig) error {
	switch lc.Type {
	case logNone:
		return nil
	case logJSONFile, logLocal:
	default:
		if err := checkLogMode(lc.Config); err != nil {
			return err
		}
		return invalid("logger: no log driver named '%s' is registered: error looking up logging plugin %s: plugin %q not found",
			lc.Type, lc.Type, lc.Type)
	}
	if err := checkLogMode(lc.Config); err != nil {
		return err
	}
	for key, value := range lc.Config {
		cached, isCache := strings.CutPrefix(key, logCacheOptions)
		switch {
		case slices.Contains(logOptions, key), slices.Contains(logModeOptions, key), isCache && slices.Contains(logOptions, cached):
		case key == logCacheOptions+"disabled":
			if _, err := strconv.ParseBool(value); err != nil && value != "" {
				return invalid("invalid value for option %s: %s", key, value)
			}
		case lc.Type == logLocal:
			return invalid("unknown log opt '%s' for log driver local", key)
		default:
			return invalid("unknown log opt '%s' for json-file log driver", key)
		}
	}
	if _, err := logSizes(lc); err != nil {
		return invalid("%s", err)
	}
	if err := checkAttrs(lc.Config); err != nil {
		return invalid("%s", err)
	}
	return nil
}

func checkLogMode(options map[string]string) error {
	mode := container.LogMode(options["mode"])
	switch mode {
	case container.LogModeBlocking, container.LogModeNonBlock, container.LogModeUnset:
	default:
		return invalid("logger: logging mode not supported: %s", mode)
	}
	size, ok := options["max-buffer-size"]
	if !ok {
		return nil
	}
	if mode != container.LogModeNonBlock {
		return invalid("logger: max-buffer-size option is only supported with 'mode=%s'", container.LogModeNonBlock)
	}
	if _, err := units.RAMInBytes(size); err != nil {
		return invalid("error parsing option max-buffer-size: %s", err)
	}
	return nil
}

// logSizes reads how the log is written and rotated. The errors are Docker's.
func logSizes(lc *container.LogConfig) (c logfile.Config, err error) {
	o := lc.Config
	if lc.Type == logLocal {
		c, err = localSizes(o)
	} else {
		c, err = jsonSizes(o)
	}
	if err != nil {
		return c, err
	}
	if container.LogMode(o["mode"]) == container.LogModeNonBlock {
		c.Buffer = logBuffer
		if size, ok := o["max-buffer-size"]; ok {
			if c.Buffer, err = units.RAMInBytes(size); err != nil {
				return c, err
			}
			c.Buffer = max(c.Buffer, 1) // one entry fits into any buffer
		}
	}
	return c, nil
}

func jsonSizes(o map[string]string) (c logfile.Config, err error) {
	c.MaxFiles = 1
	if text, ok := o["max-size"]; ok {
		if c.MaxSize, err = units.FromHumanSize(text); err != nil {
			return c, err
		}
		if c.MaxSize <= 0 {
			return c, errors.New("max-size must be a positive number")
		}
	}
	if text, ok := o["max-file"]; ok {
		if c.MaxFiles, err = strconv.Atoi(text); err != nil {
			return c, err
		}
		if c.MaxFiles < 1 {
			return c, errors.New("max-file cannot be less than 1")
		}
	}
	if text, ok := o["compress"]; ok {
		if c.Compress, err = strconv.ParseBool(text); err != nil {
			return c, err
		}
		if c.Compress && (c.MaxFiles == 1 || c.MaxSize == 0) {
			return c, errors.New("compress cannot be true when max-file is less than 2 or max-size is not set")
		}
	}
	return c, nil
}

func localSizes(o map[string]string) (c logfile.Config, err error) {
	c = logfile.Config{Compact: true, MaxSize: localMaxSize, MaxFiles: localMaxFiles, Compress: true}
	if text, ok := o["max-size"]; ok {
		if c.MaxSize, err = units.FromHumanSize(text); err != nil {
			return c, fmt.Errorf("invalid value for max-size: %s: %w", text, err)
		}
	}
	if text, ok := o["max-file"]; ok {
		if c.MaxFiles, err = strconv.Atoi(text); err != nil {
			return c, fmt.Errorf("invalid value for max-file: %s: %w", text, err)
		}
	}
	if text, ok := o["compress"]; ok {
		if c.Compress, err = strconv.ParseBool(text); err != nil {
			return c, fmt.Errorf("invalid boolean value for compress: %w", err)
		}
	}
	switch {
	case c.MaxSize < 0:
		return c, errors.New("max-size must not be negative")
	case c.MaxFiles < 0:
		return c, errors.New("max-file must not be negative")
	case c.Compress && c.MaxFiles <= 1:
		return c, errors.New("compression cannot be enabled when max file count is 1")
	}
	return c, nil
}

// logPath is where the log is, "" for a container without one.
func (c *Container) logPath() string {
	switch c.HostConfig.LogConfig.Type {
	case logNone:
		return ""
	case logLocal:
		return filepath.Join(c.dir, "local-logs", "container.log")
	}
	return filepath.Join(c.dir, c.ID+"-json.log")
}

// shownLogPath is what inspect tells: as in Docker only of a json-file, since that is one for others to read, and only
// once there is one.
func (c *Container) shownLogPath(r *record) string {
	if r.HostConfig.LogConfig.Type != logJSONFile || r.State.Started.IsZero() {
		return ""
	}
	return c.logPath()
}

// logConfig is what the keeper is told for the next run.
func (c *Container) logConfig() (path string, cfg logfile.Config, err error) {
	if path = c.logPath(); path == "" {
		return "", cfg, nil
	}
	r := c.snapshot()
	if cfg, err = logSizes(&r.HostConfig.LogConfig); err == nil {
		cfg.Attrs, err = logAttrs(&r)
	}
	if err == nil && cfg.Compact {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return "", cfg, fmt.Errorf("initialize logging driver: %w", err)
	}
	return path, cfg, nil
}
